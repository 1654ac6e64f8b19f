package session

import "time"

// The first pause before another attempt, doubled each time, and the longest.
const (
	firstRest   = 50 * time.Millisecond
	longestRest = 5 * time.Second
)

type dialState int

const (
	dialIdle dialState = iota
	dialResting
	dialDialing
)

// dialer is the way to the next stream: one attempt at a time, each to the address that was tried longest ago, with
// pauses between attempts that failed.
type dialer struct {
	addresses *addressList
	random    func() float64
	failures  int

	state dialState
	// until is when a pause ends, or an attempt has taken too long.
	until time.Duration
	// streams counts them all; the one that is being dialed has the last number.
	streams int
}

func newDialer(addresses []string, random func() float64) *dialer {
	return &dialer{addresses: newAddressList(addresses, random), random: random}
}

// wake is when there is something to do at the latest.
func (d *dialer) wake() time.Duration {
	if d.state == dialIdle {
		return Never
	}
	return d.until
}

// stream is the number of the one that is being dialed; 0 if none is.
func (d *dialer) stream() int {
	if d.state != dialDialing {
		return 0
	}
	return d.streams
}

// start begins an attempt, which fails at giveUp.
func (d *dialer) start(giveUp time.Duration) Dial {
	d.streams++
	d.state, d.until = dialDialing, giveUp
	return Dial{Stream: d.streams, Address: d.addresses.next()}
}

func (d *dialer) stop() { d.state = dialIdle }

// forgetFailures says that what failed before says nothing about what comes.
func (d *dialer) forgetFailures() { d.failures = 0 }

// restAfterFailure pauses: exponentially longer, with full jitter, never longer than longest or 5 s.
func (d *dialer) restAfterFailure(now, longest time.Duration) {
	bound := min(longestRest, longest, firstRest<<d.failures)
	d.failures = min(d.failures+1, 20)
	d.rest(now, bound)
}

// rest pauses for a random part of bound.
func (d *dialer) rest(now, bound time.Duration) {
	d.state, d.until = dialResting, after(now, time.Duration(d.random()*float64(bound)))
}

// tick ends a pause whose time has come.
func (d *dialer) tick(now time.Duration) {
	if d.state == dialResting && now >= d.until {
		d.stop()
	}
}
