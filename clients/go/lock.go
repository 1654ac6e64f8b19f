package holdfast

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Lock is a lock that was granted to this program, or several that were granted together. It is held until
// [Lock.Unlock], or its loss. Its methods may be called by any goroutine.
type Lock struct {
	claim *claim
	ctx   context.Context
	// inside is the frame that it was claimed in; nil: none, or it entered again.
	inside *frame

	unlock sync.Once
	result error
	// unlocked is closed by the first Unlock.
	unlocked chan struct{}
}

// Name is the lock's name; of several, the first's.
func (l *Lock) Name() string { return l.claim.locks[0].Name }

// Token is the fencing token of the grant of Name: larger than that of every earlier grant of that lock.
func (l *Lock) Token() uint64 { return l.claim.locks[0].Token }

// Previous is who held Name before, and how that ended, as far as the server saw it: unless it was released, expect
// half-done work. Of several that held it together, the one with the largest token. Nil: it saw nobody. Decides nothing.
func (l *Lock) Previous() *PreviousHolder { return l.claim.locks[0].Previous }

// Locks are all locks of the claim, in the order asked for, each with its token.
func (l *Lock) Locks() []GrantedLock { return slices.Clone(l.claim.locks) }

// Context is for what is done under the lock. It is cancelled on loss, however that comes, with a [LostError] as its
// [context.Cause], at the latest when the program runs after the validity deadline; and by Unlock, with [ErrUnlocked].
// Its Err reads the clock: it is not nil as soon as the deadline has passed, even if the program was stopped meanwhile.
//
// It has the values of the context that the lock was taken with and carries the thread of control (see the package
// comment), but neither that one's deadline nor its cancellation, which are for the waiting. (In [Client.WithLock] it has
// both.)
func (l *Lock) Context() context.Context { return l.ctx }

// Held tells whether it is held now, by the clock as it is now: neither lost nor unlocked.
func (l *Lock) Held() bool {
	return l.claim.isHeld() && !l.isUnlocked()
}

// Remaining is how much longer it is held if nothing more is heard of the servers: the time to the validity deadline.
// Each confirmed heartbeat adds to it; in calm times it is never below half of the TTL. 0 if it is not held; the largest
// duration with [WithTransportLiveness].
func (l *Lock) Remaining() time.Duration {
	if !l.Held() {
		return 0
	}
	return l.claim.runtime.remaining()
}

// Err is how it was lost, a [LostError]; nil if it was not, or was unlocked before.
func (l *Lock) Err() error {
	if l.isUnlocked() {
		return l.result
	}
	_, loss := l.claim.lookedAt()
	return loss
}

func (l *Lock) isUnlocked() bool {
	select {
	case <-l.unlocked:
		return true
	default:
		return false
	}
}

// Unlock gives the lock up at once, and returns when that is committed or ctx ends. A lock that was entered again is
// given up by the last Unlock, and the others return at once.
//
// It returns nil if the lock was held until this call, the [LostError] if it was lost before, and [ErrAborted] if ctx
// ended before the answer: the lock is given up all the same, and the release repeated until it is known. If no server
// can be reached it returns at the latest at the validity deadline, when the session ends. Calling again gives the same
// answer.
func (l *Lock) Unlock(ctx context.Context) error {
	l.unlock.Do(func() {
		l.result = l.claim.leave(l)
		if l.inside != nil {
			l.inside.children.Add(-1)
		}
		close(l.unlocked)
	})
	gone := l.claim.givenUp()
	if l.result != nil || gone == nil {
		return l.result
	}
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-gone:
		return nil
	default:
		return aborted(ctx, "waiting for the answer to the release of "+quoted(l.claim.specs))
	}
}

// Update replaces what the holder announces to those who look. At most 4 KiB; empty for nothing. It returns when that is
// committed. Errors: a [LostError], [ErrNotFound] after Unlock, [ErrInvalid], [ErrStoreUnavailable] or [ErrAborted]; with
// the last two it is unknown whether it was replaced.
func (l *Lock) Update(ctx context.Context, value []byte) error {
	if err := checkValue(value); err != nil {
		return err
	}
	if l.isUnlocked() {
		return l.claim.notHeld()
	}
	answer, err := l.claim.update(slices.Clone(value))
	if err != nil {
		return err
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return aborted(ctx, "waiting for the answer to the update of "+quoted(l.claim.specs))
	}
}

// newLock is a claim that was granted, in the hands of one who holds it. False: it is held no more.
func newLock(ctx context.Context, c *claim, scoped bool) (lock *Lock, ok bool, err error) {
	if !scoped {
		ctx = context.WithoutCancel(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	l := &Lock{claim: c, ctx: lockContext{ctx, c}, unlocked: make(chan struct{})}
	if ok, err = c.hold(l, cancel); !ok {
		cancel(nil)
		return nil, false, err
	}
	return l, true, nil
}

// lockContext is a context whose Err reads the clock first.
//
// Nothing else may: the runtime cancels contexts with its lock held, and the context package then asks parents for
// values.
type lockContext struct {
	context.Context
	claim *claim
}

func (c lockContext) Err() error {
	c.claim.lookedAt()
	return c.Context.Err()
}
