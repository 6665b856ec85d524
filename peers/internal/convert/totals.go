package convert

import "breakwater.dev/breaker"

// Totals are the counts of a breaker. They may be differences, which wrap around.
type Totals struct {
	breaker.Counts
	SuccessLag, IgnoredLag uint32
}

// TotalsOf returns the totals in a state.
func TotalsOf(s *State) Totals { return Totals{s.Counts, s.SuccessLag, s.IgnoredLag} }

// TotalsOfStatus returns the totals in a status.
func TotalsOfStatus(s *breaker.Status) Totals { return Totals{s.Counts, s.SuccessLag, s.IgnoredLag} }

// Plus returns the sums.
func (c Totals) Plus(o Totals) Totals {
	return Totals{breaker.Counts{
		Requests: c.Requests + o.Requests, Rejected: c.Rejected + o.Rejected, WouldReject: c.WouldReject + o.WouldReject,
		Successes: c.Successes + o.Successes, Failures: c.Failures + o.Failures, Timeouts: c.Timeouts + o.Timeouts,
		Slow: c.Slow + o.Slow, Ignored: c.Ignored + o.Ignored, LeasesExpired: c.LeasesExpired + o.LeasesExpired,
	}, c.SuccessLag + o.SuccessLag, c.IgnoredLag + o.IgnoredLag}
}

// Minus returns the differences.
func (c Totals) Minus(o Totals) Totals {
	return Totals{breaker.Counts{
		Requests: c.Requests - o.Requests, Rejected: c.Rejected - o.Rejected, WouldReject: c.WouldReject - o.WouldReject,
		Successes: c.Successes - o.Successes, Failures: c.Failures - o.Failures, Timeouts: c.Timeouts - o.Timeouts,
		Slow: c.Slow - o.Slow, Ignored: c.Ignored - o.Ignored, LeasesExpired: c.LeasesExpired - o.LeasesExpired,
	}, c.SuccessLag - o.SuccessLag, c.IgnoredLag - o.IgnoredLag}
}

// Into writes the counts into a state.
func (c Totals) Into(s *State) {
	s.Counts, s.SuccessLag, s.IgnoredLag = c.Counts, c.SuccessLag, c.IgnoredLag
}
