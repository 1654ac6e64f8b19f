//go:build unix

package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	holdfast "github.com/holdfast-lock/holdfast/clients/go"
)

var operations = map[string]func(*driver, *command) (answer, error){
	"hello": func(*driver, *command) (answer, error) { return answer{"protocol": 1, "language": "go"}, nil },

	"connect": func(d *driver, c *command) (answer, error) {
		client, err := holdfast.Dial(c.Addresses, c.dialOptions()...)
		if err != nil {
			return nil, err
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.clients[c.Client] = client
		return answer{}, nil
	},

	"session": func(d *driver, c *command) (answer, error) {
		client, err := d.client(c.Client)
		if err != nil {
			return nil, err
		}
		if err := client.Ready(c.inBackground()); err != nil {
			return nil, err
		}
		return answer{"session": client.SessionID()}, nil
	},

	"close": func(d *driver, c *command) (answer, error) {
		client, err := d.client(c.Client)
		if err != nil {
			return nil, err
		}
		return answer{}, client.Close()
	},

	"acquire": func(d *driver, c *command) (answer, error) {
		return d.claim(c, func(ctx context.Context, client *holdfast.Client) (*holdfast.Lock, error) {
			return c.acquire(ctx, client, d.waitOptions(c))
		})
	},

	"campaign": func(d *driver, c *command) (answer, error) {
		return d.claim(c, func(ctx context.Context, client *holdfast.Client) (*holdfast.Lock, error) {
			value := c.Value
			c.Value = nil
			leadership, err := client.Election(c.Election).Campaign(ctx, bytesOf(value), d.waitOptions(c)...)
			if err != nil {
				return nil, err
			}
			return leadership.Lock(), nil
		})
	},

	"try": func(d *driver, c *command) (answer, error) {
		client, err := d.client(c.Client)
		if err != nil {
			return nil, err
		}
		lock, err := c.try(c.context(context.Background()), client, c.lockOptions())
		if errors.Is(err, holdfast.ErrBusy) {
			return answer{"held": false}, nil
		}
		if err != nil {
			return nil, err
		}
		d.keep(c.As, lock)
		granted := grantJSON(lock)
		granted["held"] = true
		return granted, nil
	},

	"cancel": func(d *driver, c *command) (answer, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		if cancel := d.cancels[c.Target]; cancel != nil {
			cancel(errors.New("cancelled by the runner"))
		}
		return answer{}, nil
	},

	"release": release,
	"resign":  release,

	"update":   update,
	"proclaim": update,

	"state": func(d *driver, c *command) (answer, error) {
		lock, err := d.lock(c.As)
		if err != nil {
			return nil, err
		}
		state := answer{"held": lock.Held(), "remainingMs": float64(lock.Remaining()) / 1e6}
		if loss := lock.Err(); loss != nil {
			state["loss"] = reasonOf(loss)
		}
		return state, nil
	},

	"untilLost": func(d *driver, c *command) (answer, error) {
		lock, err := d.lock(c.As)
		if err != nil {
			return nil, err
		}
		c.isMade()
		<-lock.Context().Done()
		return answer{"reason": reasonOf(context.Cause(lock.Context())), "atNs": nowNs()}, nil
	},

	"enter": func(d *driver, c *command) (answer, error) { return d.enter(c) },
	"leave": func(d *driver, c *command) (answer, error) { return d.leave(c) },

	"leader": func(d *driver, c *command) (answer, error) {
		client, err := d.client(c.Client)
		if err != nil {
			return nil, err
		}
		leader, err := client.Election(c.Election).Leader(c.inBackground())
		if err != nil {
			return nil, err
		}
		return answer{"leader": leaderJSON(leader)}, nil
	},

	"observe": func(d *driver, c *command) (answer, error) {
		client, err := d.client(c.Client)
		if err != nil {
			return nil, err
		}
		d.read(c, func(ctx context.Context) error {
			for leader, err := range client.Election(c.Election).Observe(ctx) {
				if err != nil || ctx.Err() != nil {
					return err
				}
				d.tell(answer{"event": "leader", "as": c.As, "leader": leaderJSON(leader)})
			}
			return nil
		})
		return answer{}, nil
	},

	"watch": func(d *driver, c *command) (answer, error) {
		client, err := d.client(c.Client)
		if err != nil {
			return nil, err
		}
		target := holdfast.WithPrefix(c.Prefix)
		if c.Name != nil {
			target = holdfast.Named(*c.Name)
		}
		d.read(c, func(ctx context.Context) error {
			for changes, err := range client.WatchLocks(ctx, target, holdfast.MaxWaiters(c.MaxWaiters)) {
				if err != nil || ctx.Err() != nil {
					return err
				}
				d.tell(answer{
					"event": "change", "as": c.As, "locks": locksJSON(changes.Locks), "caughtUp": changes.CaughtUp,
				})
			}
			return nil
		})
		return answer{}, nil
	},

	"stop": func(d *driver, c *command) (answer, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.stops[c.As]()
		return answer{}, nil
	},

	"getLock": func(d *driver, c *command) (answer, error) {
		client, err := d.client(c.Client)
		if err != nil {
			return nil, err
		}
		var options []holdfast.LookOption
		if c.MaxClaims != nil {
			options = append(options, holdfast.MaxClaims(*c.MaxClaims))
		}
		info, err := client.GetLock(c.inBackground(), *c.Name, options...)
		if err != nil {
			return nil, err
		}
		return lockJSON(info), nil
	},

	"listLocks": func(d *driver, c *command) (answer, error) {
		client, err := d.client(c.Client)
		if err != nil {
			return nil, err
		}
		var options []holdfast.LookOption
		switch c.State {
		case "held":
			options = append(options, holdfast.InState(holdfast.Held))
		case "contended":
			options = append(options, holdfast.InState(holdfast.Contended))
		}
		locks := []answer{}
		for info, err := range client.ListLocks(c.inBackground(), c.Prefix, options...) {
			if err != nil {
				return nil, err
			}
			locks = append(locks, lockJSON(info))
		}
		return answer{"locks": locks}, nil
	},

	"checkToken": func(d *driver, c *command) (answer, error) {
		client, err := d.client(c.Client)
		if err != nil {
			return nil, err
		}
		token, err := strconv.ParseUint(c.Token, 10, 64)
		if err != nil {
			return nil, err
		}
		state, err := client.CheckToken(c.inBackground(), *c.Name, token)
		if err != nil {
			return nil, err
		}
		return answer{"state": state}, nil
	},

	// A Go program cannot keep itself from doing anything: it has itself stopped, and woken by another process.
	"block": func(d *driver, c *command) (answer, error) {
		waker := exec.Command("sh", "-c",
			`sleep "$1"; kill -CONT "$2"`, "sh", strconv.FormatFloat(c.ForMs/1000, 'f', 3, 64), strconv.Itoa(os.Getpid()))
		if err := waker.Start(); err != nil {
			return nil, err
		}
		if err := syscall.Kill(os.Getpid(), syscall.SIGSTOP); err != nil {
			return nil, err
		}
		atNs := nowNs()
		return answer{"lastHeldNs": nil, "atNs": atNs}, waker.Wait()
	},
}

func release(d *driver, c *command) (answer, error) {
	lock, err := d.lock(c.As)
	if err != nil {
		return nil, err
	}
	err = lock.Unlock(c.context(context.Background()))
	if errors.Is(err, holdfast.ErrLost) {
		return answer{"was": "lost"}, nil
	}
	return answer{"was": "released"}, err
}

func update(d *driver, c *command) (answer, error) {
	lock, err := d.lock(c.As)
	if err != nil {
		return nil, err
	}
	return answer{}, lock.Update(c.context(context.Background()), bytesOf(c.Value))
}

// claim waits for a lock so that cancel can end it.
func (d *driver) claim(
	c *command, acquire func(context.Context, *holdfast.Client) (*holdfast.Lock, error),
) (answer, error) {
	client, err := d.client(c.Client)
	if err != nil {
		return nil, err
	}
	ctx, done := d.cancellable(c, context.Background())
	defer done()
	lock, err := acquire(c.context(ctx), client)
	if err != nil {
		return nil, err
	}
	d.keep(c.As, lock)
	return grantJSON(lock), nil
}

// cancellable is a context that the command cancel ends, until done.
func (d *driver) cancellable(c *command, parent context.Context) (ctx context.Context, done func()) {
	ctx, cancel := context.WithCancelCause(parent)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cancels[c.ID] = cancel
	return ctx, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.cancels, c.ID)
	}
}

// read reads in the background, until the command stop.
func (d *driver) read(c *command, read func(context.Context) error) {
	ctx, stop := context.WithCancel(context.Background())
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stops[c.As] = stop
	d.reading.Go(func() {
		if err := read(ctx); err != nil && ctx.Err() == nil {
			d.tell(answer{"event": "failed", "as": c.As, "error": errorJSON(err)})
		}
	})
}

// -- The idiom of the library for each kind of lock --------------------------------------------------------------

func (c *command) acquire(
	ctx context.Context, client *holdfast.Client, options []holdfast.LockOption,
) (*holdfast.Lock, error) {
	if len(c.Locks) != 1 {
		return client.LockAll(ctx, c.specs(), options...)
	}
	switch lock := c.Locks[0]; lock.Mode {
	case "shared":
		return client.RLock(ctx, lock.Name, options...)
	case "semaphore":
		return client.Semaphore(lock.Name, lock.Limit).Acquire(ctx, lock.permits(), options...)
	default:
		return client.Lock(ctx, lock.Name, options...)
	}
}

func (c *command) try(
	ctx context.Context, client *holdfast.Client, options []holdfast.LockOption,
) (*holdfast.Lock, error) {
	if len(c.Locks) != 1 {
		return client.LockAll(ctx, c.specs(), append(options, holdfast.Wait(0))...)
	}
	switch lock := c.Locks[0]; lock.Mode {
	case "shared":
		return client.TryRLock(ctx, lock.Name, options...)
	case "semaphore":
		return client.Semaphore(lock.Name, lock.Limit).TryAcquire(ctx, lock.permits(), options...)
	default:
		return client.TryLock(ctx, lock.Name, options...)
	}
}

func (c *command) specs() []holdfast.Spec {
	var specs []holdfast.Spec
	for _, lock := range c.Locks {
		switch lock.Mode {
		case "shared":
			specs = append(specs, holdfast.Shared(lock.Name))
		case "semaphore":
			specs = append(specs, holdfast.Permits(lock.Name, lock.permits(), lock.Limit))
		default:
			specs = append(specs, holdfast.Exclusive(lock.Name))
		}
	}
	return specs
}

func (l lockSpec) permits() int {
	if l.Permits == nil {
		return 1
	}
	return *l.Permits
}

func (c *command) lockOptions() []holdfast.LockOption {
	var options []holdfast.LockOption
	if c.Purpose != nil {
		options = append(options, holdfast.Purpose(*c.Purpose))
	}
	if c.Value != nil {
		options = append(options, holdfast.Value([]byte(*c.Value)))
	}
	return options
}

func (d *driver) waitOptions(c *command) []holdfast.LockOption {
	options := append(c.lockOptions(), holdfast.OnWaiting(func(place holdfast.Place) {
		d.tell(answer{
			"event": "waiting", "id": c.ID, "lock": place.Lock, "position": place.Position,
			"holders": claimsJSON(place.Holders), "holderCount": place.HolderCount,
		})
	}))
	if c.WaitMs != nil {
		options = append(options, holdfast.Wait(milliseconds(*c.WaitMs)))
	}
	if c.Reentrant != nil && !*c.Reentrant {
		options = append(options, holdfast.WithoutReentry())
	}
	return options
}

func (c *command) dialOptions() []holdfast.Option {
	var options []holdfast.Option
	for _, each := range []struct {
		ms     *float64
		option func(time.Duration) holdfast.Option
	}{
		{c.TTLMs, holdfast.WithTTL},
		{c.ConnectTimeoutMs, holdfast.WithConnectTimeout},
		{c.CallTimeoutMs, holdfast.WithCallTimeout},
		{c.CloseTimeoutMs, holdfast.WithCloseTimeout},
	} {
		if each.ms != nil {
			options = append(options, each.option(milliseconds(*each.ms)))
		}
	}
	if c.OnDisconnect == "release" {
		options = append(options, holdfast.WithReleaseOnDisconnect())
	}
	if c.Liveness == "transport" {
		options = append(options, holdfast.WithTransportLiveness())
	}
	if c.ClientName != nil {
		options = append(options, holdfast.WithClientName(*c.ClientName))
	}
	if c.Labels != nil {
		options = append(options, holdfast.WithLabels(c.Labels))
	}
	if c.Traceparent != nil {
		options = append(options, holdfast.WithTraceparent(func(context.Context) string { return *c.Traceparent }))
	}
	return options
}

func milliseconds(ms float64) time.Duration { return time.Duration(ms * 1e6) }

func bytesOf(text *string) []byte {
	if text == nil {
		return nil
	}
	return []byte(*text)
}
