package breaker

import "math"

// tally is the totals that every breaker has.
type tally struct{ rejected, successes, failures, timeouts, slow, ignored uint64 }

// add counts n calls that have ended.
func (t *tally) add(o Outcome, slow bool, n uint64) {
	switch o {
	case Success:
		t.successes += n
	case Timeout:
		t.timeouts += n
		t.failures += n
	case Failure:
		t.failures += n
	case Ignored:
		t.ignored += n
		return
	case Abandoned:
		t.ignored += n
	}
	if slow {
		t.slow += n
	}
}

// lag is how many successes and ignored calls were taken back that later ones have not yet
// made up for.
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

// correctTotalsLocked counts a call as what it was in the end, in place of what it was counted as.
func (b *Breaker) correctTotalsLocked(old, now ending) {
	if b.past == nil {
		b.past = &past{}
	}
	t, l := &b.counts, &b.past.lag
	switch {
	case old.outcome == Success && t.successes > 0:
		t.successes--
		l.successes++
	case old.outcome != Success && t.ignored > 0:
		t.ignored--
		l.ignored++
	}
	if old.slow && old.outcome != Ignored {
		t.slow -= min(t.slow, 1)
	}
	b.addLocked(now, 1)
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
