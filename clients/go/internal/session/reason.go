package session

import (
	"strings"

	pb "github.com/holdfast-lock/holdfast/clients/go/gen/holdfast/v1"
)

// Reason is why a claim was refused or lost, or a session ended: a Reason of the proto in lower case with dashes, or
// one of those that only a client can give.
type Reason string

// The reasons that decide something here, and those that only a client gives.
const (
	Timeout          Reason = "timeout"
	NotPermitted     Reason = "not-permitted"
	SessionExpired   Reason = "session-expired"
	ReleasedByForce  Reason = "released-by-force"
	ClosedByClient   Reason = "closed-by-client"
	Superseded       Reason = "superseded"
	ClientTooSlow    Reason = "client-too-slow"
	Internal         Reason = "internal"
	Draining         Reason = "draining"
	StoreUnavailable Reason = "store-unavailable"

	// Aborted is the caller's own cancelling.
	Aborted Reason = "aborted"
	// Unreachable means that no server answered in time.
	Unreachable Reason = "unreachable"
	// ConnectionLost means that the connection broke.
	ConnectionLost Reason = "connection-lost"
	// Unknown is a reason that is none of Holdfast's, or newer than this client.
	Unknown Reason = "unknown"
)

// ReasonFrom is the reason of the wire in this client's words.
func ReasonFrom(reason pb.Reason) Reason {
	return ReasonNamed(pb.Reason_name[int32(reason)])
}

// ReasonNamed is the reason that a name of the proto such as "REASON_QUEUE_FULL" stands for; Unknown if there is none.
func ReasonNamed(name string) Reason {
	if number, ok := pb.Reason_value[name]; !ok || number == 0 {
		return Unknown
	}
	return Reason(strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, "REASON_")), "_", "-"))
}

// Failure is why something ended, for programs and for people.
type Failure struct {
	Reason  Reason
	Message string
}

var (
	closedByClient = Failure{ClosedByClient, "the client was closed"}
	noServer       = Failure{Unreachable, "no server answered in time"}
	serverDrains   = Failure{Draining, "the server goes away"}
	neverAsked     = Failure{Unknown, "the server released a claim that was not given up"}
	missing        = Failure{ReleasedByForce,
		"the claim was gone when the session was resumed: somebody ended it meanwhile"}
)

// consequence is what follows from the end of a stream.
type consequence int

const (
	resumeSession consequence = iota
	openAfresh
	refuseAll
)

func consequenceOf(reason Reason, hadSession bool) consequence {
	switch reason {
	case Superseded, ClientTooSlow, Draining, StoreUnavailable, Unreachable, ConnectionLost:
		return resumeSession
	case SessionExpired:
		return openAfresh
	case Internal:
		// A fault of the server's ends the stream and leaves the session; without one it may come again and again.
		if hadSession {
			return resumeSession
		}
	case NotPermitted:
		// The secret of a session may be refused where another session is welcome.
		if hadSession {
			return openAfresh
		}
	}
	return refuseAll
}
