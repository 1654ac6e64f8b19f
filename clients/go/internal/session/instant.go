package session

import (
	"math"
	"time"
)

// Instant is a moment, by both clocks.
type Instant struct {
	// Now is monotonic time since some beginning, for everything that decides. It stands still while the machine is
	// suspended.
	Now time.Duration
	// Wall is the time since 1970, only to notice a suspended machine.
	Wall time.Duration
}

// Never is later than every instant, and as a duration for ever.
const Never = time.Duration(math.MaxInt64)

// after is d after a moment, which is Never for what does not fit.
func after(now, d time.Duration) time.Duration {
	if d > Never-max(now, 0) {
		return Never
	}
	return now + d
}
