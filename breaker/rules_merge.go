package breaker

import "math"

// Two engines may have counted calls of one closed breaker: the engine that hands it over, and
// the engine that takes it over, which may have got outcomes before. The run of failures
// then becomes what it would be in one engine, as far as the instants are known.

// handOver returns the run of failures, and the successes that are remembered.
func (c *closed) handOver() (Run, *Recent) {
	r := c.reports
	if r == nil {
		return Run{Failures: c.run}, nil
	}
	run := c.present().handOver()
	run.Broken = known(r.broken)
	if r.recent == nil {
		return run, nil
	}
	m := &Recent{Corrected: r.recent.corrected, From: r.recent.from}
	for _, s := range r.recent.list {
		m.Successes = append(m.Successes, RecentSuccess{At: s.at, Before: s.before.handOver(), Grown: s.grown})
	}
	return run, m
}

// takeOver adds what another engine has counted before the calls of this closed breaker. It
// reports whether there were any of these.
func (c *closed) takeOver(h *Handover) (merged bool) {
	merged = c.window.sum.calls > 0 || c.run > 0
	c.window.prepend(h.Window)
	if h.Run.Reported {
		c.reporting()
	}
	own, theirs, r := c.present(), h.Run.failures(), c.reports
	if c.hasSucceeded(theirs.since) {
		theirs = failures{}
	}
	broken := instantOf(h.Run.Broken)
	if r != nil && own.since != math.MinInt64 && broken >= own.since {
		own = failures{}
	}
	joined := theirs.join(own)
	c.run = joined.run
	if r == nil {
		return merged
	}
	if h.Recent != nil && !c.hasSucceeded(math.MinInt64) {
		r.recent = h.Recent.takeOver()
	}
	r.oneIn, r.exact, r.since, r.broken = joined.oneIn, joined.exact, joined.since, max(r.broken, broken)
	return merged
}

// hasSucceeded reports whether a call of this closed breaker has succeeded since an instant.
// It is not known when a call has succeeded that had a permit; it counts as one from just now.
func (c *closed) hasSucceeded(since Instant) bool {
	return c.succeeds || c.reports != nil && c.reports.broken != math.MinInt64 && c.reports.broken >= since
}

func (m *Recent) takeOver() *recent {
	r := &recent{corrected: m.Corrected, from: m.From}
	for i := range m.Successes {
		s := &m.Successes[i]
		r.add(success{at: s.At, before: s.Before.failures(), grown: s.Grown})
	}
	return r
}

func (f failures) handOver() Run {
	return Run{Failures: f.run, Reported: true, OneIn: f.oneIn, Exact: f.exact, Since: known(f.since)}
}

// failures returns the run as the rules have it. Where only permits have counted, every failure is
// certain, and the first one may have been at any time.
func (r *Run) failures() failures {
	if !r.Reported {
		return failures{run: r.Failures, exact: r.Failures, since: math.MinInt64}
	}
	return failures{run: r.Failures, oneIn: r.OneIn, exact: min(r.Exact, r.Failures), since: instantOf(r.Since)}
}

// known returns an instant as a [Handover] has it: 0 where it is not known.
func known(at Instant) Instant {
	if at == math.MinInt64 {
		return 0
	}
	return at
}

// instantOf is the inverse of known.
func instantOf(at Instant) Instant {
	if at == 0 {
		return math.MinInt64
	}
	return at
}
