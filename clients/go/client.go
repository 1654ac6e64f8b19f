package holdfast

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"

	"github.com/holdfast-lock/holdfast/clients/go/internal/session"
)

// Client is a program's way to Holdfast: all its locks share one session and one connection. Its methods may be called
// by any number of goroutines.
type Client struct {
	runtime *sessionRuntime
	reads   *reads
	// threads counts the threads of control.
	threads atomic.Uint64
	// traceparent says where in a trace a caller is; nil: nowhere.
	traceparent func(ctx context.Context) string
}

// Dial makes a client of the servers at these addresses: "host:port" ("[::1]:7400" for IPv6), or a target with a scheme
// for which gRPC has a resolver, such as "dns:///locks:7400". Several are taken in turn, from a random one on, whenever one
// fails; so are those that a server tells of.
//
// Nothing is sent before the first call: that no server is there shows in the first use, or in [Client.Ready]. Fails with
// [ErrInvalid] when an address or option cannot be used. Close the client in the end.
func Dial(addresses []string, options ...Option) (*Client, error) {
	s, err := settingsFrom(addresses, options)
	if err != nil {
		return nil, err
	}
	for _, address := range addresses {
		conn, err := connectTo(address, s)
		if err != nil {
			return nil, invalid("addresses: %q: %v", address, err)
		}
		conn.Close()
	}
	r := newSessionRuntime(s)
	return &Client{runtime: r, reads: newReads(r), traceparent: s.traceparent}, nil
}

// SessionID is the session that others see as the holder; empty before the first use and between two sessions.
func (c *Client) SessionID() string { return c.runtime.sessionID() }

// Ready returns when there is a session, or none could be had within [WithConnectTimeout]. Only for those who want to
// know early: every call connects by itself.
func (c *Client) Ready(ctx context.Context) error {
	opening := c.runtime.open()
	select {
	case <-opening.done:
		return opening.err
	case <-ctx.Done():
		return aborted(ctx, "waiting for a session")
	}
}

// Close ends the session: every lock is lost here at once, [ErrClosed], and free at the server as soon as it is told,
// which takes at most [WithCloseTimeout]. No goroutine of the client is left when it returns, which it does with nil;
// calling again does nothing.
func (c *Client) Close() error {
	c.runtime.close()
	c.reads.close()
	return nil
}

// Lock waits in the queue of a lock and returns when it is held.
//
// Errors: [ErrBusy] and [ErrTimeout] with the holders if [Wait] bounds the waiting, [ErrAborted] with the context's error
// when that ends, [ErrUnreachable] or what the last server said when none could be had for [WithConnectTimeout], and
// whatever a server refuses with. A Lock that failed holds nothing and is never granted later.
//
// A short break of the connection keeps the place in the queue. When the session is lost while waiting, the client
// queues again at the end, in a fresh session, with what is left of [Wait].
//
// The context bounds the waiting, and not the holding: unlock what was locked.
func (c *Client) Lock(ctx context.Context, name string, options ...LockOption) (*Lock, error) {
	return c.LockAll(ctx, []Spec{Exclusive(name)}, options...)
}

// TryLock takes a lock if it is free when a server is asked. It fails with [ErrBusy], with the holders, if it is not, and
// as [Client.Lock] does for every other reason: with no server there, after [WithConnectTimeout].
func (c *Client) TryLock(ctx context.Context, name string, options ...LockOption) (*Lock, error) {
	return c.Lock(ctx, name, with(options, Wait(0))...)
}

// RLock takes a lock together with others that take it so, and with nobody who takes it exclusively. One that queues
// behind a waiting exclusive claim waits. Otherwise as [Client.Lock].
func (c *Client) RLock(ctx context.Context, name string, options ...LockOption) (*Lock, error) {
	return c.LockAll(ctx, []Spec{Shared(name)}, options...)
}

// TryRLock is [Client.RLock] without waiting, as [Client.TryLock].
func (c *Client) TryRLock(ctx context.Context, name string, options ...LockOption) (*Lock, error) {
	return c.RLock(ctx, name, with(options, Wait(0))...)
}

// LockAll takes up to 16 locks, all or nothing, in one place of all their queues: two such claims never wait for each
// other, whatever the order. Otherwise as [Client.Lock].
func (c *Client) LockAll(ctx context.Context, specs []Spec, options ...LockOption) (*Lock, error) {
	return c.acquire(ctx, specs, lockOptionsFrom(options))
}

// WithLock locks, calls fn, and unlocks, however that ends. It returns what fn returned. If the lock was lost meanwhile
// it returns a [LostError], whatever fn returned, which that wraps.
//
// The context given to fn is that of the lock and ends with ctx too; fn is not stopped by it, so give it to what fn calls.
func (c *Client) WithLock(
	ctx context.Context, name string, fn func(ctx context.Context, lock *Lock) error, options ...LockOption,
) error {
	return c.WithLocks(ctx, []Spec{Exclusive(name)}, fn, options...)
}

// WithLocks is [Client.WithLock] for shared locks, permits, and several locks, all or nothing.
func (c *Client) WithLocks(
	ctx context.Context, specs []Spec, fn func(ctx context.Context, lock *Lock) error, options ...LockOption,
) (err error) {
	o := lockOptionsFrom(options)
	o.scoped = true
	lock, err := c.acquire(ctx, specs, o)
	if err != nil {
		return err
	}
	defer func() {
		// An end of ctx cuts short only the waiting for the answer.
		var loss *LostError
		if errors.As(lock.Unlock(ctx), &loss) && !errors.Is(err, loss) {
			err = loss.with(err)
		}
	}()
	return fn(lock.Context(), lock)
}

func (c *Client) acquire(ctx context.Context, specs []Spec, o lockOptions) (*Lock, error) {
	request, err := requestFor(specs, o)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, aborted(ctx, "locking "+quoted(request.Locks))
	}
	if c.traceparent != nil {
		request.Traceparent = traceparentFrom(c.traceparent(ctx))
	}
	if o.stranger {
		return c.claim(ctx, request, o, nil)
	}
	f := c.frameOf(ctx)
	around, err := enclosing(f, request.Locks)
	if err != nil {
		return nil, err
	}
	if around != nil {
		if lock, ok, err := newLock(ctx, around, o.scoped); ok || err != nil {
			return lock, err
		}
	}
	request.ReentryID = c.threadFor(f, request.Locks)
	var lock *Lock
	if f != nil {
		// Also when OnWaiting panics.
		defer func() {
			if lock == nil || err != nil {
				f.children.Add(-1)
			} else {
				lock.inside = f
			}
		}()
	}
	lock, err = c.claim(ctx, request, o, &frame{thread: request.ReentryID, parent: f})
	return lock, err
}

// traceparentFrom leaves out what cannot be one: a tracer must not keep anybody from a lock.
func traceparentFrom(text string) string {
	if len(text) > 128 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		return ""
	}
	return text
}

// claim makes a claim and waits for it. What is granted is a frame for what is nested in it, if there is one.
func (c *Client) claim(ctx context.Context, request session.Request, o lockOptions, f *frame) (*Lock, error) {
	claim := c.runtime.acquire(request, o.onWaiting != nil)
	if err := claim.await(ctx, o.onWaiting); err != nil {
		return nil, err
	}
	if f != nil {
		f.claim = claim
		ctx = context.WithValue(ctx, frameKey{c}, f)
	}
	lock, ok, err := newLock(ctx, claim, o.scoped)
	if !ok && err == nil {
		// Lost in the very moment in which it was granted.
		_, err = claim.lookedAt()
	}
	return lock, err
}
