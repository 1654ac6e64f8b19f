package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

// leastHandOffs are what a rate is taken from.
const leastHandOffs = 10

// crowd is clients of one lock, each with a lease of its own, as each would be in a process of its own.
type crowd struct {
	pool     *pool
	name     string
	sessions []*concurrency.Session
	lockers  []locker
}

func newCrowd(ctx context.Context, l load, size int) (*crowd, error) {
	p, err := newPool(l.endpoint, size)
	if err != nil {
		return nil, err
	}
	c := &crowd{pool: p}
	if c.sessions, err = p.sessions(ctx, size); err != nil {
		return nil, errors.Join(err, c.close())
	}
	c.name = lockName("hot", c.sessions[0])
	for _, session := range c.sessions {
		locker, err := newLocker(l.system, session, c.name)
		if err != nil {
			return nil, errors.Join(err, c.close())
		}
		c.lockers = append(c.lockers, locker)
	}
	return c, nil
}

func (c *crowd) close() error {
	defer c.pool.close()
	return revoke(c.sessions)
}

// keys reads the keys of the lock's queue, in the order in which etcd committed them.
func (c *crowd) keys(ctx context.Context) ([]string, error) {
	answer, err := c.pool.of(0).Get(ctx, c.name+"/", clientv3.WithPrefix(), clientv3.WithKeysOnly(),
		clientv3.WithSort(clientv3.SortByCreateRevision, clientv3.SortAscend))
	if err != nil {
		return nil, err
	}
	keys := make([]string, len(answer.Kvs))
	for i, kv := range answer.Kvs {
		keys[i] = string(kv.Key)
	}
	return keys, nil
}

// queued waits until as many as `size` are in the queue, the holder included, and returns them.
func (c *crowd) queued(ctx context.Context, size int) ([]string, error) {
	for {
		keys, err := c.keys(ctx)
		if err != nil || len(keys) >= size {
			return keys, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// drain queues the waiters behind a holder, then lets go: from the holder's unlock until the last waiter's.
func drain(ctx context.Context, l load) (result, error) {
	c, err := newCrowd(ctx, l, l.waiters+1)
	if err != nil {
		return result{}, err
	}
	got, err := c.drain(ctx, l)
	return got, errors.Join(err, c.close())
}

func (c *crowd) drain(ctx context.Context, l load) (result, error) {
	var order granted
	q, err := c.form(ctx, func(ctx context.Context, waiter locker) error {
		if err := waiter.lock(ctx); err != nil {
			return fmt.Errorf("lock: %w", err)
		}
		order.add(waiter.key())
		return waiter.unlock(ctx)
	})
	if err != nil {
		return result{}, err
	}
	defer q.end(nil)
	// Being in the queue is one thing, watching the one before oneself another; that is not seen from outside.
	if err := sleep(q.ctx, l.warmup); err != nil {
		return result{}, err
	}
	from := time.Now()
	if err := q.open(); err != nil {
		return result{}, err
	}
	q.all.Wait()
	got := newResult(len(q.arrived), time.Since(from))
	got.FIFO = new(order.equals(q.arrived))
	return got, context.Cause(q.ctx)
}

// loop lets the clients lock and unlock one lock for a while, from when all of them are queued.
func loop(ctx context.Context, l load) (result, error) {
	c, err := newCrowd(ctx, l, l.waiters+1)
	if err != nil {
		return result{}, err
	}
	got, err := c.loop(ctx, l)
	return got, errors.Join(err, c.close())
}

func (c *crowd) loop(ctx context.Context, l load) (result, error) {
	var grants atomic.Int64
	var over atomic.Bool
	q, err := c.form(ctx, func(ctx context.Context, waiter locker) error {
		for !over.Load() {
			if err := waiter.lock(ctx); err != nil {
				return fmt.Errorf("lock: %w", err)
			}
			grants.Add(1)
			if err := waiter.unlock(ctx); err != nil {
				return fmt.Errorf("unlock: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return result{}, err
	}
	defer q.end(nil)
	if err := errors.Join(q.open(), sleep(q.ctx, l.warmup)); err != nil {
		return result{}, err
	}
	from, before := time.Now(), grants.Load()
	// On a very slow machine it takes longer than asked for: a rate of nothing is none.
	for grants.Load()-before < leastHandOffs || time.Since(from) < l.window {
		if err := sleep(q.ctx, l.window); err != nil {
			return result{}, err
		}
	}
	got := newResult(int(grants.Load()-before), time.Since(from))
	// Everybody waits for a last turn. Giving up instead, a thousand at once, leaves etcd 3.7.3's lock service
	// with a blocked watch: no waiter of it is ever granted again, by anybody, until etcd is restarted.
	over.Store(true)
	q.all.Wait()
	return got, context.Cause(q.ctx)
}

// queue is a crowd of which one holds the lock and all others wait, until it is opened.
type queue struct {
	// ctx ends with the first error of a waiter, or by end.
	ctx context.Context
	end context.CancelCauseFunc
	// open lets the first waiter in.
	open func() error
	// arrived is the waiters' keys in the order in which etcd committed them.
	arrived []string
	// all is the waiters still at it.
	all sync.WaitGroup
}

// form lets one client take the lock and all others run `wait`, and returns when all of those are queued.
func (c *crowd) form(ctx context.Context, wait func(ctx context.Context, waiter locker) error) (*queue, error) {
	ctx, end := context.WithCancelCause(ctx)
	holder := c.lockers[0]
	if err := holder.lock(ctx); err != nil {
		end(err)
		return nil, err
	}
	q := &queue{ctx: ctx, end: end, open: func() error { return holder.unlock(ctx) }}
	for _, waiter := range c.lockers[1:] {
		q.all.Go(func() {
			if err := wait(ctx, waiter); err != nil {
				end(err)
			}
		})
	}
	keys, err := c.queued(ctx, len(c.lockers))
	if err != nil {
		end(err)
		return nil, err
	}
	q.arrived = keys[1:]
	return q, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// granted is the order in which a lock was granted.
type granted struct {
	mu   sync.Mutex
	keys []string
}

func (g *granted) add(key string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.keys = append(g.keys, key)
}

func (g *granted) equals(keys []string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Equal(g.keys, keys)
}
