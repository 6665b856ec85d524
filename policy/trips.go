package policy

import (
	"fmt"

	"breakwater.dev/breaker"
	"breakwater.dev/policy/internal/yamlwalk"
)

// The paths of the fields that decide when a breaker trips.
const (
	consecutivePath  = "spec.breaker.consecutiveFailures"
	windowPath       = "spec.breaker.slidingWindow"
	minimumPath      = "spec.breaker.minimumNumberOfCalls"
	failureRatePath  = "spec.breaker.failureRateThreshold"
	slowDurationPath = "spec.breaker.slowCallDurationThreshold"
	slowRatePath     = "spec.breaker.slowCallRateThreshold"
)

// checkTrips reports rules that can never trip the breaker. It judges them in every mode, although only
// some modes need a rule at all: an operator who switches a breaker off in an outage must not find out what
// is wrong with it when switching it on again.
func (fs *findings) checkTrips(s *settings, b breaker.Config) {
	if heeded := b.Mode == breaker.Enforce || b.Mode == breaker.MetricsOnly; heeded && !fs.checkAnyRule(s, b) {
		return
	}
	fs.checkSlowCalls(s, b)
	if fs.checkWindow(s, b) {
		fs.checkFailureRate(s, b)
	}
}

// checkAnyRule reports a breaker that no rule can trip. It returns false if there is nothing left to check.
func (fs *findings) checkAnyRule(s *settings, b breaker.Config) bool {
	switch {
	case !b.Trips():
		at := s.places.newest(consecutivePath, failureRatePath, slowRatePath, slowDurationPath)
		fs.fail(at, fmt.Sprintf("above 0, or another of consecutiveFailures, failureRateThreshold and slowCallRateThreshold: a breaker in mode %s needs a rule that trips it", b.Mode), "no-trip-rule")
		return false
	case !s.canFail() && !b.TripsOnSlowCalls():
		at := s.places.newest("spec.classify.failure.statusCodes", "spec.classify.failure.grpcStatus", "spec.classify.clientGone",
			timeoutPath, headersPath, idlePath)
		fs.fail(at, "set so that a call can fail: no answer is a failure and there is no timeout", "never-trips")
	case b.ConsecutiveFailures == 0 && b.FailureRateThreshold == 0 && timesOutFirst(s, b):
		slow, timeout := yamlwalk.FormatDuration(b.SlowCallDurationThreshold), s.untilTimeout()
		at, want := s.places.at(slowDurationPath, slow), "below "+timeout.String()
		if shortened, ok := s.places.blame(timeout.path, slowDurationPath); ok && shortened.rank > at.rank {
			at, want = shortened, "above "+slow+" (slowCallDurationThreshold)"
		}
		fs.fail(at, want+", or with another rule that trips the breaker: a call that slow has timed out", "never-trips")
		return false
	}
	return true
}

// canFail reports whether a call can count as failed: by its response, by a timeout, or because its caller
// leaves.
func (s *settings) canFail() bool {
	return len(s.failure.status)+len(s.failure.grpc) > 0 || s.untilTimeout().time > 0 || s.gone == breaker.GoneFailure
}

// timesOutFirst reports whether every slow call has timed out.
func timesOutFirst(s *settings, b breaker.Config) bool {
	timeout := s.untilTimeout().time
	return b.TripsOnSlowCalls() && timeout > 0 && b.SlowCallDurationThreshold >= timeout
}

// checkSlowCalls reports a rule for slow calls that adds nothing to the other rules. It reports only a rule
// that was written for this timeout: a default rule, or one of a less specific policy, is harmless beside a
// short timeout.
func (fs *findings) checkSlowCalls(s *settings, b breaker.Config) {
	if at, ok := s.places.blame(slowRatePath, slowDurationPath); ok && b.SlowCallDurationThreshold == 0 && b.SlowCallRateThreshold > 0 {
		fs.fail(at, "left out, or beside a slowCallDurationThreshold above 0s, without which it has no effect", "no-effect")
	}
	if !timesOutFirst(s, b) {
		return
	}
	timeout := s.untilTimeout()
	if at, ok := s.places.blame(slowDurationPath, timeout.path); ok {
		off := "beside slowCallRateThreshold: 0%"
		if at.from.short {
			off = "0 to turn the rule off" // an entry of the short form has no rate
		}
		fs.fail(at, fmt.Sprintf("below %s, or %s: a call that slow has timed out, which is a failure", timeout, off), "never-trips")
	} else if at, ok := s.places.blame(slowRatePath, timeout.path); ok {
		fs.fail(at, fmt.Sprintf("0%%, or beside a slowCallDurationThreshold below %s: a call that takes %s has timed out, which is a failure",
			timeout, yamlwalk.FormatDuration(b.SlowCallDurationThreshold)), "never-trips")
	}
}

// checkWindow reports a window in which the rates can never count. It returns whether they can.
func (fs *findings) checkWindow(s *settings, b breaker.Config) bool {
	const sizePath = windowPath + ".size"
	if s.counted && b.WindowSize == 0 {
		fs.failAs(s.places.at(sizePath, ""), "nothing", "given: a CountBased window has a size", "missing-field")
		return false
	}
	if b.WindowSize == 0 || b.MinimumNumberOfCalls <= b.WindowSize {
		return true
	}
	if b.FailureRateThreshold == 0 && !b.TripsOnSlowCalls() {
		return false
	}
	if at, ok := s.places.blame(minimumPath, sizePath); ok {
		fs.fail(at, fmt.Sprintf("at most %d (slidingWindow.size): the window never has more calls, and the rates never count", b.WindowSize), "never-trips")
		return false
	}
	fs.fail(s.places.at(sizePath, "the value"),
		fmt.Sprintf("at least %d (minimumNumberOfCalls): the window never has as many calls, and the rates never count", b.MinimumNumberOfCalls), "never-trips")
	return false
}

// checkFailureRate reports a failure rate that cannot be reached before consecutiveFailures trips the
// breaker. It does not report a rate that became unreachable by a more specific policy.
func (fs *findings) checkFailureRate(s *settings, b breaker.Config) {
	most, bounded := highestRate(b)
	if !bounded || b.FailureRateThreshold <= most {
		return
	}
	if at, ok := s.places.blame(failureRatePath, consecutivePath, minimumPath, windowPath); ok {
		fs.fail(at, fmt.Sprintf("at most %s, or 0%% to turn it off: before it is reached in %d calls or more, %d failures in a row have tripped the breaker",
			most, b.MinimumNumberOfCalls, b.ConsecutiveFailures), "never-trips")
	}
}

// highestRate returns the highest failure rate of minimumNumberOfCalls or more without a run of
// consecutiveFailures, since each such run trips the breaker. bounded is false if there is no rule for runs.
// Slow calls that trip the breaker earlier only make the rate lower.
//
// With c for consecutiveFailures, there are at most c-1 failures between two successes. So at least n/c of n
// calls (rounded down) are successes. Their share is least for the smallest number of successes, and for
// the most calls with that number for which the window has room.
func highestRate(b breaker.Config) (most breaker.Ratio, bounded bool) {
	if b.ConsecutiveFailures == 0 {
		return 0, false
	}
	run, least := uint64(b.ConsecutiveFailures), uint64(b.MinimumNumberOfCalls)
	successes := least / run
	calls := successes*run + run - 1
	if b.WindowSize > 0 {
		calls = min(calls, uint64(b.WindowSize))
	}
	if calls == 0 {
		return 0, true
	}
	return breaker.Ratio((calls - successes) * uint64(breaker.Whole) / calls), true
}
