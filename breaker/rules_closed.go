package breaker

// closed is the memory of a closed breaker: the failures in a row, and the calls in the
// sliding window.
type closed struct {
	run      uint32
	ramping  bool // only a share of the calls is admitted; see [ramp]
	succeeds bool // a call that had a permit has succeeded
	reports  *reports
	window   window
}

func (c *closed) enter(cfg *Config, now Instant) {
	c.run, c.ramping, c.succeeds, c.reports = 0, false, false, nil
	c.window.enter(cfg, now)
}

// elapse forgets what is too old at now.
func (c *closed) elapse(now Instant) {
	c.window.advance(now)
	c.settleDown(now)
}

// successes takes calls that had a permit, and changed nothing.
func (c *closed) successes(n uint32) {
	c.succeeds = true
	c.window.successes(n)
}

// ended takes the outcome of a call that had a permit. counted says that the window
// counts the call already, as one that became slow in flight.
func (c *closed) ended(e ending, counted bool, now Instant) {
	switch kind := e.call(); {
	case counted:
		c.window.settle(kind, justNow)
	case kind != nil:
		c.window.add(*kind, 1)
	}
	switch {
	case e.outcome == Success:
		c.succeeds = true
		c.succeeded(now)
	case e.outcome.Failed():
		c.failed(now)
	}
}

// failed adds a call that had a permit to the run of failures.
func (c *closed) failed(now Instant) {
	if r := c.reports; r != nil {
		if c.run == 0 {
			r.since, r.oneIn, r.exact = now, 0, 0
		}
		r.since, r.exact = min(r.since, now), r.exact+1
	}
	c.run++
}

// succeeded ends the run of failures.
func (c *closed) succeeded(at Instant) {
	if c.reports != nil && c.reports.recent != nil {
		c.reports.recent.add(success{at: at, before: c.present()})
	}
	c.run = 0
}

func (c *closed) counts() WindowCounts {
	w := &c.window.sum
	return WindowCounts{Calls: uint64(w.calls), Failures: uint64(w.failures), Slow: uint64(w.slow), Run: c.run}
}

// judge reports whether the breaker trips, and why. It judges each run that has ended only
// once, so that such a run cannot trip the breaker long afterwards.
func (c *closed) judge(cfg *Config) (why Reason, trips bool) {
	why, trips = c.tripsBy(cfg)
	switch {
	case !trips:
		c.noteJudged()
	case why == ConsecutiveFailures:
		c.run = c.longRun(cfg) // which may have ended
	}
	return why, trips
}

// tripsBy returns the rule that trips the breaker, if one does.
func (c *closed) tripsBy(cfg *Config) (Reason, bool) {
	if c.longRun(cfg) > 0 {
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

// calm reports whether the next success, and any number of successes until the window
// moves on, can neither end a run nor trip the breaker. They only make the rates lower,
// so they can trip it only when they complete the minimum. Where successes are taken
// back, no success is calm, since each has to be remembered.
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
	_, trips := c.tripsBy(cfg)
	return !trips
}
