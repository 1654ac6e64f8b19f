package holdfast

import (
	"context"
	"fmt"
	"sync/atomic"

	pb "github.com/holdfast-lock/holdfast/clients/go/gen/holdfast/v1"
)

// frame is a lock that is held, seen from a context that comes from it.
type frame struct {
	thread string
	parent *frame
	claim  *claim
	// children are how many claims made directly inside it are wanted or held now.
	children atomic.Int32
}

// frameKey has the innermost frame of a client in a context.
type frameKey struct{ client *Client }

func (c *Client) frameOf(ctx context.Context) *frame {
	f, _ := ctx.Value(frameKey{c}).(*frame)
	return f
}

// enclosing is the innermost lock around a call that holds all that is wanted, no more weakly: it is entered again, and
// nothing is sent, since sessions that resume do not re-enter at the server (DESIGN 3). Nil if there is none. Fails where
// waiting could never end, because a lock around this call would be held for as long as it waits.
func enclosing(f *frame, specs []*pb.LockSpec) (*claim, error) {
	for each := f; each != nil; each = each.parent {
		if each.claim.isHeld() && covers(each.claim.specs, specs) {
			return each.claim, nil
		}
	}
	for each := f; each != nil; each = each.parent {
		if clash := firstClash(each.claim.specs, specs); clash != "" && each.claim.isHeld() {
			return nil, &Error{
				Reason: ReasonDeadlock, Lock: clash,
				Message: fmt.Sprintf("%q is held by a lock around this call, which would wait for itself: "+
					"take it as strongly outside, or unlock it first", clash),
			}
		}
	}
	return nil, nil
}

// threadFor is the id under which a claim directly inside a frame is made. Of several made side by side the first
// carries the thread on and the others start threads of their own: none of them waits for the others, so to put them on
// one thread would find deadlocks where there are none, and let them into each other's locks.
func (c *Client) threadFor(f *frame, specs []*pb.LockSpec) string {
	if f != nil && f.children.Add(1) == 1 && !f.isInside(specs) {
		return f.thread
	}
	return fmt.Sprintf("t%d", c.threads.Add(1))
}

// isInside tells whether the thread has been claimed for one of the locks: the service takes no second claim of one
// thread on a lock from a session that can resume.
func (f *frame) isInside(specs []*pb.LockSpec) bool {
	for each := f; each != nil; each = each.parent {
		for _, has := range each.claim.specs {
			for _, wanted := range specs {
				if has.Name == wanted.Name {
					return true
				}
			}
		}
	}
	return false
}

// covers tells whether holding all of has allows all that wanted would.
func covers(has, wanted []*pb.LockSpec) bool {
	for _, w := range wanted {
		covered := false
		for _, h := range has {
			covered = covered || isNoWeaker(h, w)
		}
		if !covered {
			return false
		}
	}
	return true
}

func isNoWeaker(has, wanted *pb.LockSpec) bool {
	if has.Name != wanted.Name {
		return false
	}
	switch has.Mode {
	case pb.Mode_MODE_SHARED:
		return wanted.Mode == pb.Mode_MODE_SHARED
	case pb.Mode_MODE_SEMAPHORE:
		return wanted.Mode == has.Mode && wanted.Limit == has.Limit && wanted.Permits <= has.Permits
	default:
		return wanted.Mode != pb.Mode_MODE_SEMAPHORE
	}
}

// firstClash is the first lock of which the two can never be held together; empty if there is none.
func firstClash(has, wanted []*pb.LockSpec) string {
	for _, w := range wanted {
		for _, h := range has {
			if h.Name == w.Name && excludes(h, w) {
				return w.Name
			}
		}
	}
	return ""
}

func excludes(has, wanted *pb.LockSpec) bool {
	switch {
	case has.Mode != wanted.Mode:
		return true
	case has.Mode == pb.Mode_MODE_SHARED:
		return false
	case has.Mode == pb.Mode_MODE_SEMAPHORE:
		return uint64(has.Permits)+uint64(wanted.Permits) > uint64(wanted.Limit)
	default:
		return true
	}
}
