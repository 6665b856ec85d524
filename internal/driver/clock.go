package driver

import (
	"time"

	"breakwater.dev/breaker"
)

// Clock reads the monotonic clock as an engine's instants. Its copies are one clock.
type Clock struct{ start time.Time }

// NewClock returns a clock whose instants count from now.
func NewClock() Clock { return Clock{start: time.Now()} }

// Now reads the monotonic clock.
func (c Clock) Now() breaker.Instant { return breaker.Instant(time.Since(c.start)) }

// Wall returns the time of an instant, for logs and pages. It ignores that the wall clock may have been set since the clock was
// made.
func (c Clock) Wall(i breaker.Instant) time.Time { return c.start.Add(time.Duration(i)) }

// Both reads this clock and the wall clock at the same moment.
func (c Clock) Both() (breaker.Instant, time.Time) {
	now := time.Now()
	return breaker.Instant(now.Sub(c.start)), now
}
