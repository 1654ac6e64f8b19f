package session

import (
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/holdfast-lock/holdfast/clients/go/gen/holdfast/v1"
)

func (m *Machine) openCommand() *pb.SessionCommand {
	open := &pb.Open{
		Ttl:          durationpb.New(m.settings.TTL),
		OnDisconnect: pb.OnDisconnect_ON_DISCONNECT_KEEP,
		Liveness:     pb.Liveness_LIVENESS_HEARTBEAT,
		Client:       m.settings.Client,
		Labels:       m.settings.Labels,
	}
	if m.settings.Release {
		open.OnDisconnect = pb.OnDisconnect_ON_DISCONNECT_RELEASE
	}
	if m.settings.TransportLiveness {
		open.Liveness = pb.Liveness_LIVENESS_TRANSPORT
	}
	return &pb.SessionCommand{Command: &pb.SessionCommand_Open{Open: open}}
}

func (m *Machine) resumeCommand() *pb.SessionCommand {
	m.session.attempt++
	resume := &pb.Resume{SessionId: m.session.id, Secret: m.session.secret, Attempt: m.session.attempt}
	return &pb.SessionCommand{Command: &pb.SessionCommand_Open{Open: &pb.Open{Resume: resume}}}
}

func closeCommand() *pb.SessionCommand {
	return &pb.SessionCommand{Command: &pb.SessionCommand_Close{Close: &pb.Close{}}}
}

// frameBytes is the most that a frame may have.
const frameBytes = 64 * 1024

// Frames splits commands so that each part fits into a frame, in as few as they fit into.
func Frames(commands []*pb.SessionCommand) [][]*pb.SessionCommand {
	var frames [][]*pb.SessionCommand
	start, bytes := 0, 0
	for i, command := range commands {
		size := sizeInFrame(command)
		if bytes+size > frameBytes && i > start {
			frames = append(frames, slices.Clip(commands[start:i]))
			start, bytes = i, 0
		}
		bytes += size
	}
	return append(frames, commands[start:])
}

// sizeInFrame is what a command adds to a frame.
func sizeInFrame(command *pb.SessionCommand) int {
	const tagAndLength = 1 + 5
	return proto.Size(command) + tagAndLength
}
