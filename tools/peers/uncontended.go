package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
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

// repeat lets each worker repeat its steps, and counts what ended within the window. The first error ends all.
func repeat(ctx context.Context, workers [][]step, l load) (result, error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	from := time.Now().Add(l.warmup)
	until := from.Add(l.window)
	rounds := make([][][]time.Duration, len(workers))
	var all sync.WaitGroup
	for i, steps := range workers {
		all.Go(func() {
			var err error
			if rounds[i], err = work(ctx, steps, from, until); err != nil {
				fail(err)
			}
		})
	}
	all.Wait()
	if err := context.Cause(ctx); err != nil {
		return result{}, err
	}
	return gather(rounds, workers[0], l.window), nil
}

// work repeats steps until the window is over. It returns how long each step of each counted round took.
func work(ctx context.Context, steps []step, from, until time.Time) ([][]time.Duration, error) {
	var counted [][]time.Duration
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
		if before.After(until) {
			return counted, nil
		}
		if before.After(from) {
			counted = append(counted, took)
		}
	}
}

func gather(workers [][][]time.Duration, steps []step, window time.Duration) result {
	count := 0
	for _, rounds := range workers {
		count += len(rounds)
	}
	got := newResult(count, window)
	got.Latencies = make(map[string]latency, len(steps))
	for i, step := range steps {
		times := make([]time.Duration, 0, count)
		for _, rounds := range workers {
			for _, round := range rounds {
				times = append(times, round[i])
			}
		}
		got.Latencies[step.name] = summarize(times)
	}
	return got
}
