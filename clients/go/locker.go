package holdfast

import (
	"context"
	"errors"
	"sync"
	"time"
)

// lockerPause is how long a Locker waits before it asks again for what could not be had.
const lockerPause = 500 * time.Millisecond

// Locker is a lock as a [sync.Locker], for code that takes one. [Client.Lock] tells more: prefer it.
type Locker struct {
	client  *Client
	name    string
	options []LockOption
	onLost  func(*LostError)

	// inside is locked as long as a goroutine is between Lock and Unlock, also when the lock was lost meanwhile: the next
	// one may not be in before, or that Unlock would give up the lock of the next.
	inside sync.Mutex

	mu      sync.Mutex
	current *Lock
}

var _ sync.Locker = (*Locker)(nil)

// Locker is the lock of this name as a [sync.Locker]. Since that cannot say that a lock was lost, onLost is called when
// it is lost while locked, in a goroutine of its own; it must stop what the lock guards, and panics or ends the process
// where nothing less does. Locker panics if onLost is nil.
func (c *Client) Locker(name string, onLost func(*LostError), options ...LockOption) *Locker {
	if onLost == nil {
		panic("holdfast: a Locker has to be told what to do when the lock is lost")
	}
	return &Locker{client: c, name: name, options: options, onLost: onLost}
}

// Lock returns when the lock is held. It asks again for as long as the service cannot be reached or has had enough of
// us, and panics when asking again cannot help: with a wrong name, without permission, or after [Client.Close].
func (l *Locker) Lock() {
	l.inside.Lock()
	isHeld := false
	defer func() {
		if !isHeld {
			l.inside.Unlock()
		}
	}()
	for {
		lock, err := l.client.Lock(context.Background(), l.name, with(l.options, WithoutReentry())...)
		if err == nil {
			l.hold(lock)
			isHeld = true
			return
		}
		for _, hopeless := range []error{ErrInvalid, ErrNotPermitted, ErrClosed, ErrConflictingMode} {
			if errors.Is(err, hopeless) {
				panic(err)
			}
		}
		time.Sleep(lockerPause)
	}
}

func (l *Locker) hold(lock *Lock) {
	l.mu.Lock()
	l.current = lock
	l.mu.Unlock()
	context.AfterFunc(lock.Context(), func() {
		var loss *LostError
		if errors.As(context.Cause(lock.Context()), &loss) {
			l.onLost(loss)
		}
	})
}

// Unlock gives the lock up, lost or not, and does not wait for the answer. It panics if it is not locked.
func (l *Locker) Unlock() {
	l.mu.Lock()
	lock := l.current
	l.current = nil
	l.mu.Unlock()
	if lock == nil {
		panic("holdfast: Unlock of a Locker that is not locked")
	}
	done, cancel := context.WithCancel(context.Background())
	cancel()
	// Held for good or lost: onLost tells.
	_ = lock.Unlock(done)
	l.inside.Unlock()
}

// Current is the lock that is held, for its token; nil: it is not locked.
func (l *Locker) Current() *Lock {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.current
}
