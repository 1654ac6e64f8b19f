package main

import (
	"context"
	"testing"
	"time"
)

func TestPercentileIsTheSmallestTimeThatSoManyPercentDoNotExceed(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i+1) * time.Millisecond
	}
	for _, c := range []struct {
		times   []time.Duration
		percent int
		want    float64
	}{
		{hundred, 50, 50},
		{hundred, 99, 99},
		{hundred[:3], 50, 2},
		{hundred[:3], 99, 3},
		{hundred[:1], 50, 1},
		{nil, 99, 0},
	} {
		if got := percentile(c.times, c.percent); got != c.want {
			t.Errorf("percentile %d of %d times: %v, want %v", c.percent, len(c.times), got, c.want)
		}
	}
}

func TestRoundsCountThatEndWithinTheWindow(t *testing.T) {
	w := &window{from: time.Now().Add(20 * time.Millisecond), least: 1}
	w.until = w.from.Add(40 * time.Millisecond)
	calls := 0
	rounds, err := work(t.Context(), waiting(8*time.Millisecond, &calls), w)
	if err != nil {
		t.Fatal(err)
	}
	// Neither those before the window nor the one that ends it.
	if len(rounds) == 0 || len(rounds) > calls-2 {
		t.Errorf("%d of %d rounds count", len(rounds), calls)
	}
	for _, round := range rounds {
		if round.ended.Before(w.from) || round.ended.After(w.until) {
			t.Errorf("a round counts that ended %v after the window began", round.ended.Sub(w.from))
		}
	}
}

func TestAWindowThatIsTooShortGoesOnUntilEnoughWasDone(t *testing.T) {
	w := &window{from: time.Now(), until: time.Now().Add(time.Millisecond), least: 3}
	calls := 0
	steps := waiting(5*time.Millisecond, &calls)
	rounds, err := work(t.Context(), steps, w)
	if err != nil {
		t.Fatal(err)
	}
	got := gather(rounds, steps, w)
	if got.Count != 3 || got.Seconds < 0.015 {
		t.Errorf("%d rounds in %v s, want 3 in 15 ms or more", got.Count, got.Seconds)
	}
}

func waiting(d time.Duration, calls *int) []step {
	return []step{{"wait", func(ctx context.Context) error {
		*calls++
		return sleep(ctx, d)
	}}}
}
