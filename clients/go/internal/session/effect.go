package session

import pb "github.com/holdfast-lock/holdfast/clients/go/gen/holdfast/v1"

// Effect is something that the machine wants done, or has to tell. Claim ids are the machine's own, and never used
// again.
type Effect interface{ isEffect() }

// Dial asks for a stream to an address. Answered by Connected or Broken of that stream.
type Dial struct {
	Stream  int
	Address string
}

// Send asks for commands to be sent, in this order; in one frame if they fit.
type Send struct {
	Stream   int
	Commands []*pb.SessionCommand
}

// Abandon says that nothing more is taken from a stream. What was sent on it still goes out, then it is half-closed.
type Abandon struct{ Stream int }

// Opened says that there is a session now, new or resumed.
type Opened struct{ SessionID string }

// NotOpened says that no session could be had for those who asked for no more than that.
type NotOpened struct{ Failure }

// Waiting says where a claim stands in the queue.
type Waiting struct {
	ClaimID uint64
	Place   *pb.Waiting
}

// Granted says that a claim is held from now on.
type Granted struct {
	ClaimID uint64
	Locks   []*pb.GrantedLock
}

// Denied says that a claim was refused, timed out, or given up for want of a session: it is gone, and never granted
// later.
type Denied struct {
	ClaimID uint64
	Failure
	// Lock is the one that it failed at.
	Lock        string
	Holders     []*pb.Claim
	HolderCount uint32
}

// Lost says that a held claim is not held any more, or may not be believed to be.
type Lost struct {
	ClaimID uint64
	Failure
}

// Released says that a claim that was given up is known to be gone, or ended with its session.
type Released struct{ ClaimID uint64 }

// Updated answers the first Count unanswered updates of a claim. Failure nil: the value was replaced.
type Updated struct {
	ClaimID uint64
	Count   int
	Failure *Failure
}

// Closed says that the machine was closed, and is done.
type Closed struct{}

func (Dial) isEffect()      {}
func (Send) isEffect()      {}
func (Abandon) isEffect()   {}
func (Opened) isEffect()    {}
func (NotOpened) isEffect() {}
func (Waiting) isEffect()   {}
func (Granted) isEffect()   {}
func (Denied) isEffect()    {}
func (Lost) isEffect()      {}
func (Released) isEffect()  {}
func (Updated) isEffect()   {}
func (Closed) isEffect()    {}
