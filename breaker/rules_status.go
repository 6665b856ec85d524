package breaker

import (
	"math"
	"time"
)

// lag is how many successes and ignored calls were taken back and not yet followed by
// as many new ones.
type lag struct{ successes, ignored uint32 }

// addLocked counts n calls that have ended as e.
func (b *Breaker) addLocked(e ending, n uint64) {
	b.counts.add(e.outcome, e.slow, n)
	if b.past == nil || b.past.lag == (lag{}) {
		return
	}
	l, made := &b.past.lag, uint32(min(n, math.MaxUint32))
	switch e.outcome {
	case Success:
		l.successes -= min(l.successes, made)
	case Ignored, Abandoned:
		l.ignored -= min(l.ignored, made)
	}
}

// countsLocked returns the totals, without the requests that are in flight.
func (b *Breaker) countsLocked() Counts {
	t, p := &b.counts, b.pastLocked()
	return Counts{
		Requests: t.rejected + t.successes + t.failures + t.ignored,
		Rejected: t.rejected, WouldReject: p.wouldReject, Successes: t.successes, Failures: t.failures,
		Timeouts: t.timeouts, Slow: t.slow, Ignored: t.ignored, LeasesExpired: p.leasesExpired,
	}
}

// windowLocked returns the figures by which the state judges.
func (b *Breaker) windowLocked() WindowCounts {
	switch b.state {
	case Closed:
		return b.closed.counts()
	case HalfOpen:
		return b.past.halfOpen.counts
	default:
		return WindowCounts{}
	}
}

func (b *Breaker) statusLocked(now Instant) Status {
	p := b.pastLocked()
	s := Status{
		Key: b.key(), Config: &b.params.Config, State: b.state, Generation: b.generation, Sequence: b.sequence,
		Since: b.since, Window: b.windowLocked(), Counts: b.countsLocked(), LastFailure: b.lastFailure,
		SuccessLag: p.lag.successes, IgnoredLag: p.lag.ignored, Openings: p.open.openings, Override: p.override, Episode: p.episode, InFlight: b.inFlightLocked(),
	}
	s.Counts.Requests += s.InFlight
	switch b.state {
	case Closed:
		s.Admits = Whole
		if b.closed.ramping {
			s.Admits = p.ramp.share(now)
		}
		s.Openings = p.open.remembered(&b.params.Config, now.Sub(b.since))
	case HalfOpen:
		s.ProbesInFlight = uint32(len(p.halfOpen.slots))
		if p.probesFrom > b.since {
			if s.RetryAfter = p.probesFrom.Sub(now); s.RetryAfter == 0 {
				s.RetryAfter = -1 // 0 would mean that probes are admitted from the beginning
			}
		}
	case Open:
		s.RetryAfter = b.retryAfterLocked(now)
	}
	return s
}

// retryAfterLocked returns how long the breaker will go on rejecting, as far as that is
// known; else 0.
func (b *Breaker) retryAfterLocked(now Instant) time.Duration {
	if !b.waitsLocked() {
		return 0
	}
	return b.past.open.until.Sub(now)
}
