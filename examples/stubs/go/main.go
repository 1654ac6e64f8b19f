// Holds a lock with generated code alone: by Session, then by Hold, each until there is a byte on standard input.
package main

import (
	"context"
	"io"
	"log"
	"os"

	pb "github.com/holdfast-lock/holdfast/clients/go/gen/holdfast/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

func main() { // The pings notice a connection that goes silent, within the TTL of 15 s.
	pings := grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10e9, Timeout: 4e9})
	conn, _ := grpc.NewClient(os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()), pings)
	service, locks := pb.NewLockServiceClient(conn), []*pb.LockSpec{{Name: os.Args[2]}}
	session, err := service.Session(context.Background(), grpc.WaitForReady(true))
	session.Send(&pb.SessionRequest{Commands: []*pb.SessionCommand{
		{Command: &pb.SessionCommand_Open{Open: &pb.Open{Liveness: pb.Liveness_LIVENESS_TRANSPORT}}},
		{Command: &pb.SessionCommand_Acquire{Acquire: &pb.Acquire{ClaimId: 1, Locks: locks}}}}})
	for frame := (*pb.SessionResponse)(nil); err != io.EOF; frame, err = session.Recv() {
		for _, event := range append(frame.GetEvents(), nil) { // Nil, so that an error is looked at too.
			if event.GetGranted() != nil {
				go func() { log.Print("Session: ", event); os.Stdin.Read(make([]byte, 1)); session.CloseSend() }()
			} else if err != nil || event.GetDenied() != nil || event.GetLost() != nil {
				log.Fatal("not held: ", event, err)
			}
		}
	}
	hold, err := service.Hold(context.Background(), &pb.HoldRequest{Locks: locks}, grpc.WaitForReady(true))
	for step := (*pb.HoldResponse)(nil); err == nil; step, err = hold.Recv() {
		if step.GetGranted() != nil {
			go func() { log.Print("Hold: ", step); os.Stdin.Read(make([]byte, 1)); os.Exit(0) }()
		}
	}
	log.Fatal("not held: ", err)
}
