package breaker

// closed is what a closed breaker knows: the last failures in a row and the
// calls of the sliding window.
type closed struct {
	run    uint32
	window window
}

func (c *closed) enter(cfg *Config) {
	c.run = 0
	c.window = newWindow(cfg.WindowDuration)
}

// record takes one outcome and tells whether the breaker trips, and why. The
// window stands at the time of the outcome.
func (c *closed) record(cfg *Config, o Outcome) (Reason, bool) {
	switch {
	case o == Ignored:
		return 0, false
	case o.Failed():
		c.run++
		c.window.add(1, 1)
	default:
		c.run = 0
		c.window.add(1, 0)
	}
	if cfg.ConsecutiveFailures > 0 && c.run >= cfg.ConsecutiveFailures {
		return ConsecutiveFailures, true
	}
	// A success, too, can reach the threshold: it may be the call that makes the minimum.
	calls, failures := c.window.calls, c.window.failures
	if cfg.FailureRateThreshold > 0 && calls >= uint64(cfg.MinimumNumberOfCalls) &&
		cfg.FailureRateThreshold.Reached(failures, calls) {
		return FailureRate, true
	}
	return 0, false
}

func (c *closed) counts() WindowCounts {
	return WindowCounts{Calls: c.window.calls, Failures: c.window.failures, Run: c.run}
}
