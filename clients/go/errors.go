package holdfast

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-lock/holdfast/clients/go/internal/session"
)

// Reason is why a lock was refused or lost, or a call failed. A closed list: those of the service, which are the Reason
// of its proto in lower case with dashes, and four that only a client can give.
type Reason string

// The reasons of the service.
const (
	// ReasonBusy: a try found the lock taken.
	ReasonBusy Reason = "busy"
	// ReasonTimeout: the time to wait passed before the grant.
	ReasonTimeout Reason = "timeout"
	// ReasonDeadlock: threads of control wait for each other in a circle, and this claim was the youngest in it.
	ReasonDeadlock Reason = "deadlock"
	// ReasonQueueFull: the lock has as many waiters as are allowed.
	ReasonQueueFull Reason = "queue-full"
	// ReasonTooManyClaims: the session has as many live claims as are allowed.
	ReasonTooManyClaims Reason = "too-many-claims"
	// ReasonInvalid: something is wrong with the call; trying it again unchanged cannot help.
	ReasonInvalid Reason = "invalid"
	// ReasonNotPermitted: the caller may not.
	ReasonNotPermitted Reason = "not-permitted"
	// ReasonNotFound: there is no such thing, or it is not held any more.
	ReasonNotFound Reason = "not-found"
	// ReasonConflictingMode: mode or limit contradicts the claims that are there.
	ReasonConflictingMode Reason = "conflicting-mode"
	// ReasonTooDeep: the thread of control is inside the lock as often as is allowed.
	ReasonTooDeep Reason = "too-deep"
	// ReasonWrongToken: the claim that holds the lock is not the one expected.
	ReasonWrongToken Reason = "wrong-token"
	// ReasonSessionExpired: the validity deadline passed, or the service ended the session.
	ReasonSessionExpired Reason = "session-expired"
	// ReasonReleasedByForce: an administrator released the lock.
	ReasonReleasedByForce Reason = "released-by-force"
	// ReasonClosedByForce: an administrator closed the session.
	ReasonClosedByForce Reason = "closed-by-force"
	// ReasonClosedByClient: the client was closed.
	ReasonClosedByClient Reason = "closed-by-client"
	// ReasonSuperseded: the session was resumed on another stream.
	ReasonSuperseded Reason = "superseded"
	// ReasonClientTooSlow: the program did not read what it was sent.
	ReasonClientTooSlow Reason = "client-too-slow"
	// ReasonDraining: the server goes away.
	ReasonDraining Reason = "draining"
	// ReasonStoreUnavailable: the store behind the service does not answer, or is full.
	ReasonStoreUnavailable Reason = "store-unavailable"
	// ReasonInternal: a fault of the server.
	ReasonInternal Reason = "internal"
)

// The reasons that only a client gives.
const (
	// ReasonAborted: the caller's own context ended.
	ReasonAborted Reason = "aborted"
	// ReasonUnreachable: no server answered in time.
	ReasonUnreachable Reason = "unreachable"
	// ReasonConnectionLost: the connection broke, and the session could not outlive it.
	ReasonConnectionLost Reason = "connection-lost"
	// ReasonUnknown: an error that is none of Holdfast's, or newer than this client; what it wraps says more.
	ReasonUnknown Reason = "unknown"
)

// What to compare errors with, by errors.Is. Each matches every error of its reason.
var (
	ErrBusy             error = kind(ReasonBusy)
	ErrTimeout          error = kind(ReasonTimeout)
	ErrDeadlock         error = kind(ReasonDeadlock)
	ErrQueueFull        error = kind(ReasonQueueFull)
	ErrTooManyClaims    error = kind(ReasonTooManyClaims)
	ErrInvalid          error = kind(ReasonInvalid)
	ErrNotPermitted     error = kind(ReasonNotPermitted)
	ErrNotFound         error = kind(ReasonNotFound)
	ErrConflictingMode  error = kind(ReasonConflictingMode)
	ErrTooDeep          error = kind(ReasonTooDeep)
	ErrSessionExpired   error = kind(ReasonSessionExpired)
	ErrReleasedByForce  error = kind(ReasonReleasedByForce)
	ErrClosed           error = kind(ReasonClosedByClient)
	ErrDraining         error = kind(ReasonDraining)
	ErrStoreUnavailable error = kind(ReasonStoreUnavailable)
	ErrAborted          error = kind(ReasonAborted)
	ErrUnreachable      error = kind(ReasonUnreachable)
	ErrConnectionLost   error = kind(ReasonConnectionLost)
)

// ErrLost matches every [LostError], whatever its reason.
var ErrLost = errors.New("holdfast: the lock was lost")

// ErrUnlocked is the cause of the context of a lock that was unlocked.
var ErrUnlocked = errors.New("holdfast: the lock was unlocked")

// kind is a reason as something to compare errors with.
type kind Reason

func (k kind) Error() string { return "holdfast: " + string(k) }

// Error is whatever goes wrong with Holdfast, but for the loss of a lock.
type Error struct {
	// Reason is for programs: no two reasons mean each other.
	Reason Reason
	// Message is for people.
	Message string
	// Lock is the lock it is about; empty if it is not about one.
	Lock string
	// Holders are who holds the lock that could not be had, oldest grant first, at most 10, as far as a server told.
	// Empty for other reasons, or if only waiters were before the claim.
	Holders []Claim
	// HolderCount is how many hold it; 0 if nobody told.
	HolderCount int

	cause error
}

// Error says what happened, for people.
func (e *Error) Error() string { return fmt.Sprintf("holdfast: %s: %s", e.Reason, e.Message) }

// Unwrap is what the error came from; nil if there is nothing else.
func (e *Error) Unwrap() error { return e.cause }

// Is tells whether target is the Err of this reason.
func (e *Error) Is(target error) bool { return target == kind(e.Reason) }

// LostError says that a lock is not held any more although nobody here unlocked it: somebody else may hold it now. Stop
// what it guards. It matches [ErrLost], and the Err of its reason.
type LostError struct {
	// Reason says how: session-expired (the validity deadline passed), connection-lost, released-by-force,
	// closed-by-force, closed-by-client (this client was closed) and others.
	Reason Reason
	// Message is for people.
	Message string
	// Lock is the name of the lock; of several, the first's.
	Lock string

	cause error
}

// Error says what happened, for people.
func (e *LostError) Error() string { return fmt.Sprintf("holdfast: %s: %s", e.Reason, e.Message) }

// Unwrap is the error that came with the loss: what the function of [Client.WithLock] returned; nil if nothing did.
func (e *LostError) Unwrap() error { return e.cause }

// Is tells whether target is ErrLost, or the Err of this reason.
func (e *LostError) Is(target error) bool { return target == ErrLost || target == kind(e.Reason) }

// with is the same loss with an error that came because of it.
func (e *LostError) with(cause error) *LostError {
	copied := *e
	copied.cause = cause
	return &copied
}

func invalid(format string, args ...any) *Error {
	return &Error{Reason: ReasonInvalid, Message: fmt.Sprintf(format, args...)}
}

// aborted is the error of a call whose context has ended. It matches that context's error, and its cause if it has one.
func aborted(ctx context.Context, doing string) *Error {
	cause := ctx.Err()
	if why := context.Cause(ctx); why != nil && !errors.Is(why, cause) {
		cause = errors.Join(cause, why)
	}
	return &Error{Reason: ReasonAborted, Message: doing + ": " + context.Cause(ctx).Error(), cause: cause}
}

func errorFrom(failure session.Failure) *Error {
	return &Error{Reason: Reason(failure.Reason), Message: failure.Message}
}
