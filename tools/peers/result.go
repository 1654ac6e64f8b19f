package main

import (
	"slices"
	"time"
)

// result is the line that is printed. What does not apply to a load is left out.
type result struct {
	// Seconds is how long was measured.
	Seconds float64 `json:"seconds"`
	// Count is how often the whole was done in that time: put, lock and unlock, or hand-off.
	Count int `json:"count"`
	// PerSecond is Count / Seconds.
	PerSecond float64 `json:"perSecond"`
	// Latencies are of each step of the whole, by its name.
	Latencies map[string]latency `json:"latencies,omitempty"`
	// FIFO says whether the lock was granted in the order in which etcd had committed the waiters.
	FIFO *bool `json:"fifo,omitempty"`
}

// latency is a distribution, in milliseconds.
type latency struct {
	P50Ms float64 `json:"p50Ms"`
	P99Ms float64 `json:"p99Ms"`
}

func newResult(count int, took time.Duration) result {
	return result{Seconds: took.Seconds(), Count: count, PerSecond: float64(count) / took.Seconds()}
}

// summarize sorts its argument.
func summarize(took []time.Duration) latency {
	slices.Sort(took)
	return latency{P50Ms: percentile(took, 50), P99Ms: percentile(took, 99)}
}

// percentile is by nearest rank, of sorted times, in milliseconds; 0 of none.
func percentile(sorted []time.Duration, percent int) float64 {
	if len(sorted) == 0 {
		return 0
	}
	rank := (percent*len(sorted) + 99) / 100
	return float64(sorted[rank-1]) / float64(time.Millisecond)
}
