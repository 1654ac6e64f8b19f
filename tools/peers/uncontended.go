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
)

// step is a part of what a worker repeats, timed by itself.
type step struct {
	name string
	do   func(ctx context.Context) error
}

// puts overwrites one key per worker.
func puts(ctx context.Context, l load) (result, error) {
	p, err := newPool(l.endpoint, l.inFlight)
	if err != nil {
		return result{}, err
	}
	defer p.close()
	workers := make([][]step, l.inFlight)
	for i := range workers {
		key, client := fmt.Sprintf("bench-peers/puts/%d", i), p.of(i)
		workers[i] = []step{{"put", func(ctx context.Context) error {
			_, err := client.Put(ctx, key, "")
			return err
		}}}
	}
	got, err := repeat(ctx, workers, l)
	_, cleaned := p.of(0).Delete(ctx, "bench-peers/puts/", clientv3.WithPrefix())
	return got, errors.Join(err, cleaned)
}

// uncontended locks and unlocks one lock per worker; the workers of a connection share its lease.
func uncontended(ctx context.Context, l load) (result, error) {
	p, err := newPool(l.endpoint, l.inFlight)
	if err != nil {
		return result{}, err
	}
	defer p.close()
	sessions, err := p.sessions(ctx, len(p.clients))
	if err != nil {
		return result{}, errors.Join(err, revoke(sessions))
	}
	workers := make([][]step, l.inFlight)
	name := lockName("own", sessions[0])
	for i := range workers {
		locker, err := newLocker(l.system, sessions[i%len(sessions)], fmt.Sprintf("%s/%d", name, i))
		if err != nil {
			return result{}, errors.Join(err, revoke(sessions))
		}
		workers[i] = []step{{"lock", locker.lock}, {"unlock", locker.unlock}}
	}
	got, err := repeat(ctx, workers, l)
	return got, errors.Join(err, revoke(sessions))
}

// window is when rounds count: all that end between from and until; on a very slow machine those after it too, until
// there are `least` of them.
type window struct {
	from, until time.Time
	least       int64
	counted     atomic.Int64
}

// round is one time through all steps of a worker: how long each took.
type round struct {
	took  []time.Duration
	ended time.Time
}

// repeat lets each worker repeat its steps, and counts what ended within the window. The first error ends all.
func repeat(ctx context.Context, workers [][]step, l load) (result, error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	w := &window{from: time.Now().Add(l.warmup), least: int64(len(workers))}
	w.until = w.from.Add(l.window)
	rounds := make([][]round, len(workers))
	var all sync.WaitGroup
	for i, steps := range workers {
		all.Go(func() {
			var err error
			if rounds[i], err = work(ctx, steps, w); err != nil {
				fail(err)
			}
		})
	}
	all.Wait()
	if err := context.Cause(ctx); err != nil {
		return result{}, err
	}
	return gather(slices.Concat(rounds...), workers[0], w), nil
}

// work repeats steps until the window is over, and returns the rounds that count.
func work(ctx context.Context, steps []step, w *window) ([]round, error) {
	var counted []round
	for {
		took := make([]time.Duration, len(steps))
		before := time.Now()
		for i, step := range steps {
			if err := step.do(ctx); err != nil {
				return counted, fmt.Errorf("%s: %w", step.name, err)
			}
			after := time.Now()
			took[i], before = after.Sub(before), after
		}
		if before.Before(w.from) {
			continue
		}
		if w.counted.Add(1) > w.least && before.After(w.until) {
			return counted, nil
		}
		counted = append(counted, round{took, before})
	}
}

func gather(rounds []round, steps []step, w *window) result {
	until := w.until
	for _, round := range rounds {
		if round.ended.After(until) {
			until = round.ended
		}
	}
	got := newResult(len(rounds), until.Sub(w.from))
	got.Latencies = make(map[string]latency, len(steps))
	for i, step := range steps {
		times := make([]time.Duration, len(rounds))
		for j, round := range rounds {
			times[j] = round.took[i]
		}
		got.Latencies[step.name] = summarize(times)
	}
	return got
}
