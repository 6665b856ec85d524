package breaker

import "math"

// reports is the memory of a run of failures that were reported, and not counted by a
// permit. Only a breaker that gets reports has it.
type reports struct {
	oneIn  uint32  // the sparsest sample of successes in the run; at 0 and 1 every success is reported
	since  Instant // when the first failure of the run was
	broken Instant // when the last reported success was
	recent *recent // nil while no success is taken back
}

// reporting returns the reports, which begin now if there are none.
func (c *closed) reporting() *reports {
	if c.reports == nil {
		c.reports = &reports{since: math.MinInt64, broken: math.MinInt64}
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
			r.since, r.oneIn = at, 0
		}
		c.run++
		r.since, r.oneIn = min(r.since, at), max(r.oneIn, oneIn)
	}
}

// failures are failures in a row.
type failures struct {
	run   uint32
	oneIn uint32  // as in reports
	since Instant // when the first of them was
}

// present returns the run that goes on.
func (c *closed) present() failures {
	f := failures{run: c.run}
	if c.reports != nil && c.run > 0 {
		f.oneIn, f.since = c.reports.oneIn, c.reports.since
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
// where every success is reported. Where one in n is, and the upstream fails at a rate
// r, the next outcome to be seen is a failure with probability r/(r+(1-r)/n), and a whole
// run of them with that to the power of its length. r is the rate before the run, or
// else the rate up to which the policy tolerates failures: a run that such a rate
// explains is left to the rule of the failure rate.
func (c *closed) unbroken(cfg *Config, f failures) bool {
	if f.oneIn <= 1 {
		return true
	}
	w := &c.window.sum
	calls := w.calls - min(w.calls, f.run)
	failures := w.failures - min(w.failures, f.run)
	r := (float64(failures) + 1) / (float64(calls) + 2)
	r = min(max(r, float64(cfg.FailureRateThreshold)/float64(Whole)), mostRate)
	next := r / (r + (1-r)/float64(f.oneIn))
	return float64(f.run)*math.Log(next) <= math.Log(luck)
}
