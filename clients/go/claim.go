package holdfast

import (
	"context"
	"fmt"

	pb "github.com/holdfast-lock/holdfast/clients/go/gen/holdfast/v1"
	"github.com/holdfast-lock/holdfast/clients/go/internal/session"
)

type claimStage int

const (
	claimWanted claimStage = iota
	claimHeld
	claimReleased
	claimLost
	claimDenied
)

// claim is what a program wants or holds, from its acquire to its end. The runtime tells it what becomes of it.
type claim struct {
	runtime *sessionRuntime
	id      uint64
	specs   []*pb.LockSpec
	// settled is closed when it is granted or denied.
	settled chan struct{}
	// moved says that there is a new place; nil if nobody wants to know.
	moved chan struct{}

	// Guarded by the runtime's lock. Once settled is closed, locks and refusal do not change.

	stage   claimStage
	place   *pb.Waiting
	locks   []GrantedLock
	refusal error
	loss    *LostError
	// gone is closed when a claim that was given up is known to be gone; nil while it is not given up.
	gone chan struct{}
	// onEnd are the contexts of those who hold it.
	onEnd   map[*Lock]context.CancelCauseFunc
	updates []chan error
}

func newClaim(r *sessionRuntime, id uint64, specs []*pb.LockSpec, tellsPlace bool) *claim {
	c := &claim{runtime: r, id: id, specs: specs, settled: make(chan struct{})}
	if tellsPlace {
		c.moved = make(chan struct{}, 1)
	}
	return c
}

// await returns when it is granted or denied. When the context ends before, it is given up: a grant that crosses this on
// its way is given back by itself.
func (c *claim) await(ctx context.Context, onWaiting func(Place)) error {
	done := ctx.Done()
	for {
		select {
		case <-c.settled:
			return c.refusal
		case <-done:
			return c.giveUpWaiting(ctx)
		case <-c.moved:
			if place, ok := c.takePlace(); ok {
				c.tell(onWaiting, place)
			}
		}
	}
}

// tell calls the program's function. If that panics or ends the goroutine nobody is there to be granted anything.
func (c *claim) tell(onWaiting func(Place), place Place) {
	returned := false
	defer func() {
		if returned {
			return
		}
		c.runtime.mu.Lock()
		defer c.runtime.mu.Unlock()
		if c.stage == claimWanted || c.stage == claimHeld {
			c.giveUp()
		}
	}()
	onWaiting(place)
	returned = true
}

// takePlace is the latest place, unless it waits no more.
func (c *claim) takePlace() (place Place, ok bool) {
	c.runtime.mu.Lock()
	defer c.runtime.mu.Unlock()
	if c.stage != claimWanted {
		return Place{}, false
	}
	return placeFrom(c.place), true
}

func (c *claim) giveUpWaiting(ctx context.Context) error {
	r := c.runtime
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.stage == claimDenied {
		return c.refusal
	}
	// Even if it has been granted meanwhile: who is told that the context has ended expects to hold nothing.
	if c.stage == claimWanted || c.stage == claimHeld {
		c.giveUp()
	}
	err := aborted(ctx, "waiting for "+quoted(c.specs))
	err.Lock = c.specs[0].Name
	if c.place != nil {
		err.Lock, err.Holders, err.HolderCount = c.place.Lock, claimsFrom(c.place.Holders), int(c.place.HolderCount)
	}
	return err
}

// giveUp releases it for good. The lock is held.
func (c *claim) giveUp() {
	c.stage, c.gone = claimReleased, make(chan struct{})
	c.failUpdates()
	c.runtime.run(c.runtime.machine.Release(c.id, c.runtime.now()))
}

// maxDepth is how often a thread of control may be inside the same lock.
const maxDepth = 100

// hold registers one more who holds it: cancel is called when it ends. False: it is held no more.
func (c *claim) hold(lock *Lock, cancel context.CancelCauseFunc) (ok bool, err error) {
	r := c.runtime
	r.mu.Lock()
	defer r.mu.Unlock()
	r.run(r.machine.Tick(r.now()))
	if c.stage != claimHeld {
		return false, nil
	}
	if len(c.onEnd) >= maxDepth {
		return false, &Error{
			Reason: ReasonTooDeep, Lock: c.specs[0].Name,
			Message: fmt.Sprintf("this thread of control is inside %d times already", maxDepth),
		}
	}
	if c.onEnd == nil {
		c.onEnd = map[*Lock]context.CancelCauseFunc{}
	}
	c.onEnd[lock] = cancel
	return true, nil
}

// leave takes one who holds it away; the last one releases it. It returns the loss, if it was lost before.
func (c *claim) leave(lock *Lock) error {
	r := c.runtime
	r.mu.Lock()
	defer r.mu.Unlock()
	// First what the clock says: what is past its deadline was lost, not released.
	r.run(r.machine.Tick(r.now()))
	c.onEnd[lock](ErrUnlocked)
	delete(c.onEnd, lock)
	if c.stage == claimLost {
		return c.loss
	}
	if c.stage == claimHeld && len(c.onEnd) == 0 {
		c.giveUp()
	}
	return nil
}

// lookedAt is how it stands, by the clock as it is now; err is the loss, if it was lost.
func (c *claim) lookedAt() (stage claimStage, err error) {
	r := c.runtime
	r.mu.Lock()
	defer r.mu.Unlock()
	r.run(r.machine.Tick(r.now()))
	if c.stage == claimLost {
		return c.stage, c.loss
	}
	return c.stage, nil
}

// givenUp is closed when it is known to be gone; nil: it has not been given up.
func (c *claim) givenUp() <-chan struct{} {
	c.runtime.mu.Lock()
	defer c.runtime.mu.Unlock()
	return c.gone
}

func (c *claim) isHeld() bool {
	stage, _ := c.lookedAt()
	return stage == claimHeld
}

// update replaces the value; the answer comes over the channel.
func (c *claim) update(value []byte) (<-chan error, error) {
	r := c.runtime
	r.mu.Lock()
	defer r.mu.Unlock()
	r.run(r.machine.Tick(r.now()))
	if c.stage != claimHeld {
		return nil, c.notHeld()
	}
	answer := make(chan error, 1)
	c.updates = append(c.updates, answer)
	r.run(r.machine.Update(c.id, value, r.now()))
	return answer, nil
}

func (c *claim) notHeld() error {
	if c.stage == claimLost {
		return c.loss
	}
	return &Error{
		Reason: ReasonNotFound, Lock: c.specs[0].Name,
		Message: fmt.Sprintf("%s was unlocked, so its value cannot be replaced", quoted(c.specs)),
	}
}

func (c *claim) failUpdates() {
	for _, answer := range c.updates {
		answer <- c.notHeld()
	}
	c.updates = nil
}

// -- What becomes of it. The lock is held. -----------------------------------------------------------------------

func (c *claim) waiting(place *pb.Waiting) {
	c.place = place
	select {
	case c.moved <- struct{}{}:
	default:
		// It has been told to look, or there is nobody to tell.
	}
}

func (c *claim) granted(locks []*pb.GrantedLock) {
	if c.stage != claimWanted {
		return
	}
	c.stage, c.locks, c.place = claimHeld, grantedFrom(locks), nil
	close(c.settled)
}

func (c *claim) denied(denial session.Denied) {
	if c.stage != claimWanted {
		return
	}
	c.stage = claimDenied
	refusal := errorFrom(denial.Failure)
	refusal.Lock, refusal.Holders, refusal.HolderCount =
		denial.Lock, claimsFrom(denial.Holders), int(denial.HolderCount)
	c.refusal = refusal
	close(c.settled)
}

func (c *claim) lost(why session.Failure) {
	if c.stage != claimHeld {
		return
	}
	c.stage = claimLost
	c.loss = &LostError{
		Reason: Reason(why.Reason), Lock: c.specs[0].Name,
		Message: fmt.Sprintf("lost %s: %s", quoted(c.specs), why.Message),
	}
	c.failUpdates()
	for _, cancel := range c.onEnd {
		cancel(c.loss)
	}
}

func (c *claim) released() { close(c.gone) }

func (c *claim) updated(event session.Updated) {
	var err error
	if event.Failure != nil {
		failed := errorFrom(*event.Failure)
		failed.Lock = c.specs[0].Name
		err = failed
	}
	answered := min(event.Count, len(c.updates))
	for _, answer := range c.updates[:answered] {
		answer <- err
	}
	c.updates = c.updates[answered:]
}
