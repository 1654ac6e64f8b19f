package main

import (
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
