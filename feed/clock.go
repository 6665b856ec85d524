package feed

import (
	"math"
	"time"

	"breakwater.dev/breaker"
)

// clock tells when calls of a proxy ended by the clock of the engine, whatever the proxy's
// own says. The entry that was the quickest to arrive is taken to have ended when it arrived:
// the others ended as much earlier as their times differ. What is held back on its way keeps
// its place so, and the error is what the quickest took, the flush interval at most.
//
// A clock that is set is found out when the quickest of before is forgotten.
type clock struct {
	lag, before time.Duration // the smallest difference, of this period and the one before
	since       breaker.Instant
	lastEnd     time.Duration // the latest so far
	lastAt      breaker.Instant
}

// forgetting is how long a period is.
const forgetting = time.Minute

func newClock(now breaker.Instant) clock {
	return clock{lag: math.MaxInt64, before: math.MaxInt64, since: now, lastEnd: math.MinInt64, lastAt: math.MinInt64}
}

// at returns when something ended that a proxy's clock puts at end and that arrived now. To
// keep an order, that can be some nanoseconds from now.
func (c *clock) at(end time.Duration, now breaker.Instant) breaker.Instant {
	switch passed := now.Sub(c.since); {
	case passed >= 2*forgetting:
		c.lag, c.before, c.since = math.MaxInt64, math.MaxInt64, now
	case passed >= forgetting:
		c.before, c.lag, c.since = c.lag, math.MaxInt64, now
	}
	c.lag = min(c.lag, time.Duration(now)-end)
	at := breaker.Instant(end + min(c.lag, c.before))
	// What ended later has to stay later when the difference is found to be smaller.
	if end > c.lastEnd {
		at = max(at, c.lastAt+1)
		c.lastEnd, c.lastAt = end, at
	}
	return at
}
