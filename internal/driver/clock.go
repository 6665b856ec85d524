package driver

import (
	"time"

	"breakwater.dev/breaker"
)

// Clock reads the monotonic clock as an engine's instants. Copies of a clock read the same instants.
type Clock struct{ start time.Time }

// NewClock returns a clock whose instants count from now.
func NewClock() Clock { return Clock{start: time.Now()} }

// Now reads the monotonic clock.
func (c Clock) Now() breaker.Instant { return breaker.Instant(time.Since(c.start)) }

// Wall returns the wall time of an instant, for logs and pages. It does not notice when the wall clock is set after the
// clock was made.
func (c Clock) Wall(i breaker.Instant) time.Time { return c.start.Add(time.Duration(i)) }

// Both returns the current instant, and the wall time at the same moment.
func (c Clock) Both() (breaker.Instant, time.Time) {
	now := time.Now()
	return breaker.Instant(now.Sub(c.start)), now
}
