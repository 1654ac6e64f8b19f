package session

import (
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/holdfast-lock/holdfast/clients/go/gen/holdfast/v1"
)

func acquireOf(id uint64, text string, valueBytes int) *pb.SessionCommand {
	return &pb.SessionCommand{Command: &pb.SessionCommand_Acquire{Acquire: &pb.Acquire{
		ClaimId: id, Locks: []*pb.LockSpec{{Name: text}}, Purpose: text, Value: make([]byte, valueBytes),
	}}}
}

func TestAFrameCarriesAllCommandsIfTheyFit(t *testing.T) {
	commands := []*pb.SessionCommand{acquireOf(1, "a", 10), closeCommand()}
	if frames := Frames(commands); len(frames) != 1 || !slices.Equal(frames[0], commands) {
		t.Errorf("frames: %v", frames)
	}
}

func TestFramesAreSplitWhereTheNextCommandWouldMakeMoreThan64KiB(t *testing.T) {
	var commands, all []*pb.SessionCommand
	for id := range uint64(100) {
		commands = append(commands, acquireOf(math.MaxUint64-id, strings.Repeat("€", 85), 4096))
	}
	frames := Frames(commands)
	for _, frame := range frames {
		all = append(all, frame...)
		if size := proto.Size(&pb.SessionRequest{Commands: frame}); size > 64*1024 {
			t.Errorf("a frame has %d bytes", size)
		}
	}
	if !slices.Equal(all, commands) || len(frames) > 8 {
		t.Errorf("%d commands in %d frames", len(all), len(frames))
	}
}

func TestReasonsHaveTheWordsOfTheProto(t *testing.T) {
	for name, want := range map[string]Reason{
		"REASON_QUEUE_FULL": "queue-full", "REASON_BUSY": "busy", "REASON_UNSPECIFIED": Unknown, "REASON_NEW": Unknown,
	} {
		if got := ReasonNamed(name); got != want {
			t.Errorf("%s is %q, not %q", name, got, want)
		}
	}
	if got := ReasonFrom(pb.Reason_REASON_SESSION_EXPIRED); got != SessionExpired {
		t.Errorf("it is %q", got)
	}
}
