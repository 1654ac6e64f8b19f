package holdfast

import "context"

// Semaphore has a number of permits, of which claims take some. Strict order: a large claim is not overtaken by small
// ones. Everybody who takes it must say the same limit; another one is refused with [ErrConflictingMode].
type Semaphore struct {
	client *Client
	name   string
	limit  int
}

// Semaphore is the semaphore of this name, by the rules for lock names, with limit permits.
func (c *Client) Semaphore(name string, limit int) *Semaphore { return &Semaphore{c, name, limit} }

// Acquire waits until n permits are free for it, and takes them until [Lock.Unlock]. Errors as [Client.Lock];
// [ErrInvalid] unless 1 <= n <= limit.
//
// With the context of a lock that has permits of this semaphore, n of them or more, it takes none: it enters again, as
// [Client.Lock] does. [WithoutReentry] has it take further ones.
func (s *Semaphore) Acquire(ctx context.Context, n int, options ...LockOption) (*Lock, error) {
	return s.client.LockAll(ctx, []Spec{Permits(s.name, n, s.limit)}, options...)
}

// TryAcquire is [Semaphore.Acquire] without waiting: it fails with [ErrBusy].
func (s *Semaphore) TryAcquire(ctx context.Context, n int, options ...LockOption) (*Lock, error) {
	return s.Acquire(ctx, n, with(options, Wait(0))...)
}
