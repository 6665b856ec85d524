package breaker

import "math"

// reports is the memory of a run of failures that were reported, and not counted by a
// permit. Only a breaker that gets reports has it.
type reports struct {
	oneIn  uint32  // the sparsest sample of successes in the run; at 0 and 1 every success is reported
	exact  uint32  // the failures at the end of the run after the last one from a sample
	since  Instant // when the first failure of the run was
	broken Instant // when the last reported success was
	recent *recent // nil while no success is taken back
}

// reporting returns the reports, which begin now if there are none.
func (c *closed) reporting() *reports {
	if c.reports == nil {
		c.reports = &reports{exact: c.run, since: math.MinInt64, broken: math.MinInt64}
	}
	return c.reports
}

// reported takes an outcome that was reported late, and perhaps out of order. A failure
// from before the last success is not part of the run, and a success from before the
// run does not end it.
func (c *closed) reported(o Outcome, at Instant, oneIn uint32) {
	if o == Ignored || o == Abandoned {
		return
	}
	r := c.reporting()
	switch {
	case o == Success:
		r.broken = max(r.broken, at)
		if c.run == 0 || at >= r.since {
			c.succeeded(at)
		}
	case at >= r.broken:
		if c.run == 0 {
			r.since, r.oneIn, r.exact = at, 0, 0
		}
		c.run++
		r.since, r.oneIn, r.exact = min(r.since, at), max(r.oneIn, oneIn), r.exact+1
		if oneIn > 1 {
			r.exact = 0
		}
	}
}

// failures are failures in a row.
type failures struct {
	run   uint32
	oneIn uint32  // as in reports
	exact uint32  // as in reports
	since Instant // when the first of them was
}

// present returns the run that goes on.
func (c *closed) present() failures {
	f := failures{run: c.run}
	if c.reports != nil && c.run > 0 {
		f.oneIn, f.exact, f.since = c.reports.oneIn, c.reports.exact, c.reports.since
	}
	return f
}

// longRun returns the length of a run that is long enough to trip the breaker, or 0. It
// is the run that goes on, or an earlier one that grew when a success in it was taken back.
func (c *closed) longRun(cfg *Config) uint32 {
	if f := c.present(); c.isLong(cfg, f) {
		return f.run
	}
	if c.reports == nil || c.reports.recent == nil {
		return 0
	}
	for i := range c.reports.recent.list {
		if s := &c.reports.recent.list[i]; s.grown && c.isLong(cfg, s.before) {
			return s.before.run
		}
	}
	return 0
}

func (c *closed) isLong(cfg *Config, f failures) bool {
	return cfg.ConsecutiveFailures > 0 && f.run >= cfg.ConsecutiveFailures && c.unbroken(cfg, f)
}

// luck is how probable it may be that a run came about by chance, where all failures
// were reported and some successes were not. A mesh under a steady rate of errors sees
// many runs, so this has to be far below what a single run would need.
const luck = 1e-12

// mostRate bounds the rate of failures that a run is compared with. Without it, a policy
// whose failure rate never trips would make every run count for nothing.
const mostRate = 0.9

// unbroken reports whether no success went unseen in a run of failures. That is certain
// if every success was reported during as many failures, at its end, as the policy names.
// Elsewhere the run has to be too long for chance, also at the rate up to which the
// policy tolerates failures: a run that such a rate explains is left to the rule of the
// failure rate.
func (c *closed) unbroken(cfg *Config, f failures) bool {
	if f.oneIn <= 1 || f.exact >= cfg.ConsecutiveFailures {
		return true
	}
	w := c.counts()
	w.Run = f.run
	return w.runChance(f.oneIn, cfg.FailureRateThreshold) <= math.Log(luck)
}

// RunChance returns the natural logarithm of the probability that a run of failures at
// least as long as Run comes about by chance at the rate of failures from before the run.
// All failures are reported, and one in oneIn of the successes.
func (w *WindowCounts) RunChance(oneIn uint32) float64 { return w.runChance(oneIn, 0) }

// runChance is [WindowCounts.RunChance] at a rate of failures that is not below least. If
// the upstream fails at a rate r, the next outcome to be reported is a failure with
// probability r/(r+(1-r)/n), and a whole run of them with that to the power of its length.
func (w *WindowCounts) runChance(oneIn uint32, least Ratio) float64 {
	run := uint64(w.Run)
	calls, failures := w.Calls-min(w.Calls, run), w.Failures-min(w.Failures, run)
	r := (float64(failures) + 1) / (float64(calls) + 2)
	r = min(max(r, float64(least)/float64(Whole)), mostRate)
	next := r / (r + (1-r)/float64(max(oneIn, 1)))
	return float64(run) * math.Log(next)
}
