package peers

import (
	"breakwater.dev/breaker"
	"breakwater.dev/peers/internal/convert"
)

// counts are totals of a breaker. They may be differences, which wrap around.
type counts struct {
	breaker.Counts
	successLag, ignoredLag uint32
}

func countsOf(s *convert.State) counts { return counts{s.Counts, s.SuccessLag, s.IgnoredLag} }

func countsOfStatus(s *breaker.Status) counts { return counts{s.Counts, s.SuccessLag, s.IgnoredLag} }

func (c counts) plus(o counts) counts {
	return counts{breaker.Counts{
		Requests: c.Requests + o.Requests, Rejected: c.Rejected + o.Rejected, WouldReject: c.WouldReject + o.WouldReject,
		Successes: c.Successes + o.Successes, Failures: c.Failures + o.Failures, Timeouts: c.Timeouts + o.Timeouts,
		Slow: c.Slow + o.Slow, Ignored: c.Ignored + o.Ignored, LeasesExpired: c.LeasesExpired + o.LeasesExpired,
	}, c.successLag + o.successLag, c.ignoredLag + o.ignoredLag}
}

func (c counts) minus(o counts) counts {
	return counts{breaker.Counts{
		Requests: c.Requests - o.Requests, Rejected: c.Rejected - o.Rejected, WouldReject: c.WouldReject - o.WouldReject,
		Successes: c.Successes - o.Successes, Failures: c.Failures - o.Failures, Timeouts: c.Timeouts - o.Timeouts,
		Slow: c.Slow - o.Slow, Ignored: c.Ignored - o.Ignored, LeasesExpired: c.LeasesExpired - o.LeasesExpired,
	}, c.successLag - o.successLag, c.ignoredLag - o.ignoredLag}
}

// into writes the counts into a state.
func (c counts) into(s *convert.State) {
	s.Counts, s.SuccessLag, s.IgnoredLag = c.Counts, c.successLag, c.ignoredLag
}
