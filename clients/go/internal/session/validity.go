package session

import (
	"fmt"
	"time"
)

// suspendedAfter is by how much the wall clock may gain on the monotonic one before that means that the machine was
// suspended (DESIGN 4.7).
const suspendedAfter = time.Second

// validity is for how long a session may be believed: the validity deadline.
//
// It is counted from when the proof was sent, so that it passes here before it passes at the server, and with the
// rates of the two clocks up to 1 % apart (DESIGN, P5). What the wall clock gained on the monotonic one since then
// counts as time that has passed.
type validity struct {
	until time.Duration
	// ahead is how far the wall clock was ahead of the monotonic one at the proof, or since it was set back.
	ahead  time.Duration
	gained time.Duration
}

// prove says that the server confirmed the session to be safe for validFor from when the proof was sent. It never
// shortens.
func (v *validity) prove(sent Instant, validFor time.Duration) {
	until := Never
	if validFor != Never {
		until = after(sent.Now, validFor/100*99)
	}
	if until <= v.until {
		return
	}
	*v = validity{until: until, ahead: sent.Wall - sent.Now}
}

// deadline is when the session is not to be believed any more, as of the last look.
func (v *validity) deadline() time.Duration {
	if v.until == Never {
		return Never
	}
	return v.until - v.gained
}

// problem says why the session may not be believed any more; empty if it may.
func (v *validity) problem(at Instant) string {
	if v.until == Never {
		return ""
	}
	ahead := at.Wall - at.Now
	v.ahead = min(v.ahead, ahead)
	v.gained = ahead - v.ahead
	if v.gained > suspendedAfter {
		return fmt.Sprintf("the wall clock jumped %d ms ahead, so the machine was probably suspended",
			v.gained.Milliseconds())
	}
	if at.Now >= v.deadline() {
		return "no heartbeat was confirmed in time: the connection, the server or this program stood still"
	}
	return ""
}
