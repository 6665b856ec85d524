package feed

import (
	"math"
	"slices"
	"time"

	"breakwater.dev/breaker"
)

// clock tells when the calls of one stream ended by the clock of the engine, whatever the proxy's
// own says. The entry that was the quickest to arrive is taken to have ended when it arrived:
// the others ended as much earlier as their times differ. What is held back on its way keeps
// its place so, and the error is what the quickest took, the flush interval at most.
//
// A proxy's clock may be set, and one entry may claim anything. Neither may move other calls
// into the past, where they would not count. So what does not fit what came before is
// taken to have ended when it arrived, and what follows is measured by it. That a clock was set
// back shows at once: the entries of a stream are in the order in which calls ended, and one that
// was held back comes no earlier in that order.
type clock struct {
	lag, before time.Duration // the smallest difference, of this period and the one before
	since       breaker.Instant
	lastEnd     time.Duration   // of the entry before
	lastAt      breaker.Instant // when that was
	// Entries that are late, and how long they have all been: the smallest difference of these.
	late      time.Duration
	lateSince breaker.Instant
}

const (
	// forgetting is how long a period is. Clocks drift.
	forgetting = time.Minute
	// jitter is how far entries of a proxy may be from one another in what they took to
	// arrive, or may be out of order, as long as nothing is wrong.
	jitter = 250 * time.Millisecond
	// lateFor is how long entries may all be late. What was held back arrives sooner.
	lateFor = time.Second
	// mostHeldBack is how late an entry may be: what is not sent for longer is not sent at all,
	// since connections that are dead for so long are closed.
	mostHeldBack = 15 * time.Second
	// mostEnd bounds the times that entries claim, so that sums and differences of two of them can be told. It is in the year 2105.
	mostEnd = 136 * 365 * 24 * time.Hour
)

const unknown = time.Duration(math.MaxInt64)

func newClock(now breaker.Instant) *clock {
	return &clock{lag: unknown, before: unknown, since: now, lastEnd: -mostEnd, lastAt: math.MinInt64, late: unknown}
}

// take takes on that something ended by the proxy's clock at end, and arrived now.
func (c *clock) take(end time.Duration, now breaker.Instant) {
	own := time.Duration(now) - end
	switch passed := now.Sub(c.since); {
	case passed >= 2*forgetting:
		c.lag, c.before, c.since = unknown, unknown, now
	case passed >= forgetting:
		c.lag, c.before, c.since = unknown, c.lag, now
	}
	late := time.Duration(0)
	if s := c.smallest(); s != unknown {
		late = own - s
	}
	switch {
	case end < c.lastEnd-jitter, late > mostHeldBack:
		c.begin(own, now)
	case late > jitter:
		if c.late == unknown {
			c.lateSince = now
		}
		if c.late = min(c.late, own); now.Sub(c.lateSince) >= lateFor {
			c.begin(c.late, now)
		}
	default:
		c.late, c.lag = unknown, min(c.lag, own)
	}
}

// begin measures by another difference from now on.
func (c *clock) begin(lag time.Duration, now breaker.Instant) {
	c.lag, c.before, c.since, c.late = lag, unknown, now, unknown
}

func (c *clock) smallest() time.Duration { return min(c.lag, c.before) }

// clocks are those of a proxy's streams. As long as they agree they are one: its calls keep
// their order, whichever stream tells of them. Another process that has the same id, or claims it,
// has streams and a clock of its own, and does not agree.
type clocks struct {
	streams []*clock
	lastEnd time.Duration // of the latest entry of those that agree
	lastAt  breaker.Instant
}

// stream adds the clock of one more stream.
func (c *clocks) stream(now breaker.Instant) *clock {
	one := newClock(now)
	c.streams = append(c.streams, one)
	return one
}

func (c *clocks) leave(one *clock) {
	c.streams = slices.DeleteFunc(c.streams, func(s *clock) bool { return s == one })
}

// at returns when something ended that the clock of a stream puts at end, and that arrived now. To
// keep an order, that can be some nanoseconds from now.
func (c *clocks) at(stream *clock, end time.Duration, now breaker.Instant) breaker.Instant {
	end = max(-mostEnd, min(end, mostEnd))
	stream.take(end, now)
	own := stream.smallest()
	lag := own
	for _, other := range c.streams {
		if o := other.smallest(); o != unknown && (o-own).Abs() <= jitter {
			lag = min(lag, o)
		}
	}
	at := breaker.Instant(end + lag)
	// What ended later has to stay later when the difference is found to be smaller.
	if end > stream.lastEnd {
		at = max(at, stream.lastAt+1)
	}
	stream.lastEnd, stream.lastAt = end, at
	off := end - c.lastEnd
	if off > 0 && off <= jitter {
		at = max(at, c.lastAt+1)
	}
	if off > 0 || off < -jitter {
		c.lastEnd, c.lastAt = end, at
	}
	return at
}
