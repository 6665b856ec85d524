package clock

import (
	"math"
	"slices"
	"time"

	"breakwater.dev/instant"
)

const (
	// Jitter is how much the lags of a proxy's entries may differ, or its entries be out of order, while all is well.
	Jitter = 250 * time.Millisecond
	// MaxLateness is how long all entries may be late before the clock is taken to have been set. Entries that were held back
	// are late for a shorter time.
	MaxLateness = time.Second
	// MaxDelay is how late an entry may be. An entry that a proxy could not send for longer never arrives, because
	// the connection is closed by then.
	MaxDelay = 15 * time.Second

	// lagPeriod is how long a smallest lag counts, for one to two periods: clocks drift.
	lagPeriod = time.Minute
	// maxTime bounds the times that proxies claim, so that no difference of two overflows. As a time since 1970 it is
	// in the year 2105.
	maxTime = 136 * 365 * 24 * time.Hour
)

// unknown is a lag that is not known.
const unknown = time.Duration(math.MaxInt64)

// Stream is the clock of one stream of entries. The lag of an entry is the difference between its arrival, by our clock, and the
// end of its call, by the proxy's. The entry with the smallest lag is taken to have ended when it arrived, and every
// other entry as much earlier as its lag is larger. So an entry that was held back keeps its place in time. The error is the
// time that the entry with the smallest lag was on its way: at most the flush interval of Envoy's log.
//
// A proxy's clock may be set, and an entry may claim any time. Neither may move other calls into the past, where they would
// not count. So an entry that does not fit the ones before it is taken to have ended when it arrived, and the entries after
// it are measured by it. A clock that was set back shows at once: the entries of a stream are in the order in which their
// calls ended, and an entry that was held back is no exception.
type Stream struct {
	lag, before time.Duration // the smallest lag of this period, and of the one before
	since       instant.Instant
	lastEnd     time.Duration   // the end of the previous entry, by the proxy's clock
	lastAt      instant.Instant // the same end, translated
	// The smallest lag of the entries that have come late without interruption, and since when they have.
	late      time.Duration
	lateSince instant.Instant
}

func newStream(now instant.Instant) *Stream {
	return &Stream{lag: unknown, before: unknown, since: now, lastEnd: -maxTime, lastAt: math.MinInt64, late: unknown}
}

// observe notes that a call ended at end, by the proxy's clock, and that its entry arrived now.
func (s *Stream) observe(end time.Duration, now instant.Instant) {
	own := time.Duration(now) - end
	switch passed := now.Sub(s.since); {
	case passed >= 2*lagPeriod:
		s.lag, s.before, s.since = unknown, unknown, now
	case passed >= lagPeriod:
		s.lag, s.before, s.since = unknown, s.lag, now
	}
	late := time.Duration(0)
	if smallest := s.smallest(); smallest != unknown {
		late = own - smallest
	}
	switch {
	case end < s.lastEnd-Jitter, late > MaxDelay:
		s.restart(own, now)
	case late > Jitter:
		if s.late == unknown {
			s.lateSince = now
		}
		if s.late = min(s.late, own); now.Sub(s.lateSince) >= MaxLateness {
			s.restart(s.late, now)
		}
	default:
		s.late, s.lag = unknown, min(s.lag, own)
	}
}

// restart forgets all lags but one.
func (s *Stream) restart(lag time.Duration, now instant.Instant) {
	s.lag, s.before, s.since, s.late = lag, unknown, now, unknown
}

func (s *Stream) smallest() time.Duration { return min(s.lag, s.before) }

// Proxy is the clock of one proxy: the clocks of its streams. As long as these agree they count as one, so that calls keep their
// order across streams. Another process that has the same id, or claims it, has streams and a clock of its own, which do
// not agree. The zero value has no streams.
type Proxy struct {
	streams []*Stream
	lastEnd time.Duration // the latest end of the entries that agree, by the proxy's clock
	lastAt  instant.Instant
}

// Add adds a stream.
func (p *Proxy) Add(now instant.Instant) *Stream {
	s := newStream(now)
	p.streams = append(p.streams, s)
	return s
}

// Remove removes a stream that has ended.
func (p *Proxy) Remove(s *Stream) {
	p.streams = slices.DeleteFunc(p.streams, func(other *Stream) bool { return other == s })
}

// At returns when a call ended by our clock that ended at end by the proxy's: time since 1970. Its entry arrived now, on stream s. To
// keep an order, the result can be some nanoseconds after now.
func (p *Proxy) At(s *Stream, end time.Duration, now instant.Instant) instant.Instant {
	end = max(-maxTime, min(end, maxTime))
	s.observe(end, now)
	own := s.smallest()
	lag := own
	for _, other := range p.streams {
		if o := other.smallest(); o != unknown && (o-own).Abs() <= Jitter {
			lag = min(lag, o)
		}
	}
	at := instant.Instant(end + lag)
	// A call that ended later must stay later when a smaller lag is found.
	if end > s.lastEnd {
		at = max(at, s.lastAt+1)
	}
	s.lastEnd, s.lastAt = end, at
	off := end - p.lastEnd
	if off > 0 && off <= Jitter {
		at = max(at, p.lastAt+1)
	}
	if off > 0 || off < -Jitter {
		p.lastEnd, p.lastAt = end, at
	}
	return at
}
