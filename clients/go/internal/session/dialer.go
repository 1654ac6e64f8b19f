package session

import (
	"slices"
	"time"
)

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

// dialer is the way to the next stream: one attempt at a time, the addresses in turn from a random one on, with
// pauses between attempts that failed.
type dialer struct {
	random func() float64
	// configured are the addresses that the program gave; learned are those that a server told last.
	configured, learned []string
	// first are to be tried before it is anybody else's turn: where a server that goes away said to go.
	first []string
	// turn counts addresses tried.
	turn     int
	failures int

	state dialState
	// until is when a pause ends, or an attempt has taken too long.
	until time.Duration
	// streams counts them all; the one that is being dialed has the last number.
	streams int
}

func newDialer(addresses []string, random func() float64) *dialer {
	return &dialer{configured: addresses, random: random, turn: int(random() * float64(len(addresses)))}
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

// start begins an attempt, which fails at giveUp; not at the address to avoid if there is another.
func (d *dialer) start(giveUp time.Duration, avoid string) Dial {
	d.streams++
	d.state, d.until = dialDialing, giveUp
	return Dial{Stream: d.streams, Address: d.next(avoid)}
}

func (d *dialer) next(avoid string) string {
	if len(d.first) > 0 {
		address := d.first[0]
		d.first = d.first[1:]
		return address
	}
	all := d.addresses()
	for range all {
		address := all[d.turn%len(all)]
		d.turn++
		if address != avoid {
			return address
		}
	}
	return avoid
}

// addresses are all that are known, the program's own first.
func (d *dialer) addresses() []string {
	all := slices.Clone(d.configured)
	for _, address := range d.learned {
		if !slices.Contains(all, address) {
			all = append(all, address)
		}
	}
	return all
}

// learn takes what a server says of the others, in place of what was said before. A server that tells nothing, as
// behind a load balancer, leaves the program's own addresses.
func (d *dialer) learn(servers []string) {
	d.learned = slices.DeleteFunc(slices.Clone(servers), func(address string) bool { return address == "" })
	d.first = nil
}

// goTo has these addresses tried first, from a random one on: not all clients of a server go to the same one.
func (d *dialer) goTo(servers []string) {
	d.learn(servers)
	if n := len(d.learned); n > 0 {
		from := int(d.random() * float64(n))
		d.first = append(slices.Clone(d.learned[from:]), d.learned[:from]...)
	}
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
