package breaker

import "math"

// closed is what a closed breaker knows: the last failures in a row and the
// calls of the sliding window.
type closed struct {
	run     uint32
	ramping bool // only a share of the calls is admitted
	reports *reports
	window  window
}

// reports is what reported outcomes add to a run. A breaker that gets none has none.
type reports struct {
	oneIn  uint32  // the sparsest sample of successes in the run; 0 and 1: none can have gone unseen
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

func (c *closed) enter(cfg *Config, now Instant) {
	c.run, c.ramping, c.reports = 0, false, nil
	c.window.enter(cfg, now)
}

// failed lengthens the run by a call that had a permit.
func (c *closed) failed(now Instant) {
	if r := c.reports; r != nil {
		if c.run == 0 {
			r.since, r.oneIn = now, 0
		}
		r.since = min(r.since, now)
	}
	c.run++
}

// succeeded ends the run.
func (c *closed) succeeded(at Instant) {
	if c.reports != nil && c.reports.recent != nil {
		c.reports.recent.add(success{at: at, before: c.present()})
	}
	c.run = 0
}

// reported takes what was reported late, and perhaps out of order. A failure from
// before the last success is not in the run, and a success from before the run
// does not end it.
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

func (c *closed) counts() WindowCounts {
	w := &c.window.sum
	return WindowCounts{Calls: uint64(w.calls), Failures: uint64(w.failures), Slow: uint64(w.slow), Run: c.run}
}

// judge tells whether the breaker trips, and why.
func (c *closed) judge(cfg *Config) (Reason, bool) {
	if c.tripping(cfg) > 0 {
		return ConsecutiveFailures, true
	}
	w := &c.window.sum
	if w.calls < cfg.MinimumNumberOfCalls {
		return 0, false
	}
	if cfg.FailureRateThreshold > 0 && cfg.FailureRateThreshold.Reached(uint64(w.failures), uint64(w.calls)) {
		return FailureRate, true
	}
	if cfg.SlowCallRateThreshold > 0 && cfg.SlowCallRateThreshold.Reached(uint64(w.slow), uint64(w.calls)) {
		return SlowCallRate, true
	}
	return 0, false
}

// calm tells whether the next success, and any number of them until the window
// moves on, can neither end a run nor trip the breaker: they only make the rates
// lower, so they trip it if they make the minimum, and not afterwards. Where successes
// are taken back, each has to be remembered.
func (c *closed) calm(cfg *Config) bool {
	w := &c.window.sum
	if c.run > 0 || c.ramping || c.reports != nil && c.reports.recent != nil {
		return false
	}
	if w.failures == 0 && w.slow == 0 {
		return true
	}
	if w.calls < cfg.MinimumNumberOfCalls {
		return false
	}
	_, trips := c.judge(cfg)
	return !trips
}

// luck is how probable a run may be to have come about by chance, from failures
// that were all reported and successes that were not. A mesh under a steady rate of
// errors sees many runs, so this has to be far below what one run would need.
const luck = 1e-12

// mostRate keeps runs from counting for nothing where the rule of rates puts up with all.
const mostRate = 0.9

// unbroken tells whether a run of failures is one: that no success went unseen in it.
// Where all successes are reported, none did. Where one in n is, an upstream that
// fails at a rate r shows a failure next with probability r/(r+(1-r)/n), and the whole
// run with that to the power of its length. The rate is what it was before the run, or
// else as much as the rule of rates puts up with: as long as a run may be no more than
// that, it is for that rule to say.
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
