package policy

import (
	"fmt"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/policy/internal/yamlwalk"
)

// lintBreaker reports a breaker whose settings are well-formed but cannot work.
func (fs *findings) lintBreaker(s *settings) {
	b := s.config()
	fs.checkClassify(s)
	fs.checkTimeouts(s)
	fs.checkTrips(s, b)
	fs.checkBackoff(s, b)
	fs.checkProbes(s, b)
	if f := s.fallback; bodiless(f.status) && s.places.wrote("spec.fallback.response.body") && f.body != "" {
		at := s.places.at("spec.fallback.response.body", "")
		fs.fail(at, fmt.Sprintf("left out: a response %d has no body", f.status), "contradiction")
	}
}

// checkBackoff reports a bound on the wait that has no effect, or leaves the wait no room
// to grow.
func (fs *findings) checkBackoff(s *settings, b breaker.Config) {
	const (
		multiplierPath = "spec.breaker.backoff.multiplier"
		maxPath        = "spec.breaker.backoff.max"
		waitPath       = "spec.breaker.waitDurationInOpenState"
	)
	grows := b.BackoffMultiplier > breaker.MinMultiplier
	if at, ok := s.places[maxPath]; ok && !grows && !s.places.wrote(multiplierPath) {
		fs.fail(at, "left out, or beside multiplier, without which it has no effect", "no-effect")
		return
	}
	if b.BackoffMax > b.WaitDurationInOpenState || b.BackoffMax == b.WaitDurationInOpenState && !grows {
		return
	}
	wait := yamlwalk.FormatDuration(b.WaitDurationInOpenState)
	if at, ok := s.places.blame(maxPath, waitPath); ok {
		fs.fail(at, fmt.Sprintf("above %s (waitDurationInOpenState): it bounds how far the wait grows, and never shortens it", wait), "contradiction")
	} else if at, ok := s.places.blame(multiplierPath, waitPath); ok && grows {
		fs.fail(at, fmt.Sprintf("1, or beside a max above %s (waitDurationInOpenState): with %s the wait never grows",
			wait, yamlwalk.FormatDuration(b.BackoffMax)), "contradiction")
	}
}

// checkProbes reports a half-open state that is too short for the successes that it needs.
func (fs *findings) checkProbes(s *settings, b breaker.Config) {
	first := s.untilHeaders()
	if b.PermittedNumberOfCallsInHalfOpenState >= b.SuccessThreshold || first.time == 0 {
		return
	}
	rounds := (b.SuccessThreshold + b.PermittedNumberOfCallsInHalfOpenState - 1) / b.PermittedNumberOfCallsInHalfOpenState
	if need := time.Duration(rounds) * first.time; b.MaxWaitDurationInHalfOpenState < need {
		at := s.places.at("spec.breaker.maxWaitDurationInHalfOpenState", yamlwalk.FormatDuration(b.MaxWaitDurationInHalfOpenState))
		fs.fail(at, fmt.Sprintf("at least %s: %d successes with %d in flight at a time take %d rounds of up to %s",
			yamlwalk.FormatDuration(need), b.SuccessThreshold, b.PermittedNumberOfCallsInHalfOpenState, rounds, first), "half-open-too-short")
	}
}

// lintUpstream reports settings of a whole upstream that are well-formed but cannot work.
func (fs *findings) lintUpstream(u *upstreamDoc, s *settings) {
	fs.checkLimits(s, "spec.connectionLimits", u.Limits.Default)
	if s.places.wrote("spec.connectionLimits.high") {
		fs.checkLimits(s, "spec.connectionLimits.high", u.Limits.High)
	}
	if u.Outlier == nil {
		return
	}
	for _, p := range u.Outlier.Validate() {
		path := outlierPath
		if p.Field != "" {
			path += "." + p.Field
		}
		fs.fail(s.places.at(path, "the value"), p.Want, p.Rule)
	}
	for _, field := range splitOnly {
		if at, ok := s.places[outlierPath+"."+field]; ok && !u.Outlier.SplitExternalLocalOriginErrors {
			fs.fail(at, "left out, or beside splitExternalLocalOriginErrors: true, without which it has no effect", "no-effect")
		}
	}
	fs.checkEjections(u, s)
}

// checkLimits reports a limit of 0 that stops fewer requests than it seems to.
func (fs *findings) checkLimits(s *settings, path string, l Limits) {
	for _, p := range l.halfClosed() {
		fs.fail(s.places.at(path+"."+p.field, "0"), p.want, "half-closed")
	}
}

// zeroLimit is a limit of 0 beside others that are not 0.
type zeroLimit struct{ field, want string }

// halfClosed returns the limits of 0 that stop less than they seem to.
func (l Limits) halfClosed() []zeroLimit {
	var zeros []zeroLimit
	if l.MaxRequests == 0 && l.MaxPendingRequests > 0 {
		zeros = append(zeros, zeroLimit{"maxRequests", "at least 1, or maxPendingRequests 0 too: alone it lets pending requests pile up"})
	}
	if l.MaxPendingRequests == 0 && l.MaxRequests > 0 {
		zeros = append(zeros, zeroLimit{"maxPendingRequests", "at least 1, or maxRequests 0 too: alone it lets requests use the connections that are there, and no others can be made"})
	}
	if l.MaxConnections == 0 && l.MaxRequests > 0 {
		zeros = append(zeros, zeroLimit{"maxConnections", "at least 1, or maxRequests and maxPendingRequests 0: the proxy's workers make one connection each whatever this says"})
	}
	return zeros
}

// checkEjections reports ejections that never happen, or that proxies ignore.
func (fs *findings) checkEjections(u *upstreamDoc, s *settings) {
	n := len(u.Endpoints)
	o := u.Outlier
	static := u.DNS == nil
	if never := o.MaxEjectionPercent == 0 && !o.AlwaysEjectOneEndpoint; never || static && o.MaxEjected(n) == 0 {
		want := "above 0%, or with alwaysEjectOneEndpoint: true"
		if !never {
			want = fmt.Sprintf("at least %d%%, or with alwaysEjectOneEndpoint: true: upstream %s has %d endpoints, and it rounds down to none of them",
				(100+n-1)/n, u.Name, n)
		}
		fs.fail(s.places.at(outlierPath+".maxEjectionPercent", o.MaxEjectionPercent.String()), want, "never-ejects")
		return
	}
	minimum := func(threshold, field string, v uint32) {
		if static && s.places.wrote(outlierPath+"."+threshold) && int64(v) > int64(n) {
			fs.fail(s.places.at(outlierPath+"."+field, fmt.Sprint(v)),
				fmt.Sprintf("at most %d, as many endpoints as upstream %s has: with fewer %s is never looked at", n, u.Name, threshold), "never-ejects")
		}
	}
	minimum("failurePercentageThreshold", "failurePercentageMinimumEndpoints", o.FailurePercentageMinimumEndpoints)
	minimum("successRateStdevFactor", "successRateMinimumEndpoints", o.SuccessRateMinimumEndpoints)

	healthy := breaker.Whole - breaker.Ratio(o.MaxEjectionPercent)*100
	if static {
		healthy = breaker.Ratio(uint64(n-o.MaxEjected(n)) * uint64(breaker.Whole) / uint64(n))
	}
	if panic := u.LoadBalancing.PanicThreshold; panic > healthy {
		fs.fail(u.places.at("spec.loadBalancing.panicThreshold", "0%"),
			fmt.Sprintf("at most %s, which outlier detection leaves: with fewer healthy the proxy sends to ejected endpoints too", healthy), "panic-hides-ejections")
	}
}

// checkEjectionTime reports that all endpoints may be ejected for longer than a breaker is open, so that
// half-open has no endpoint to send a probe to. It is only a note where a policy for the whole mesh asks for
// outlier detection, and none for this upstream, since such a policy fits most upstreams.
func (fs *findings) checkEjectionTime(u *upstreamDoc, s *settings, breakers []*Breaker) {
	o, n := u.Outlier, len(u.Endpoints)
	if o == nil || u.DNS != nil && o.MaxEjectionPercent < 100 || u.DNS == nil && o.MaxEjected(n) < n {
		return
	}
	wait, whose := o.BaseEjectionTime, ""
	for _, b := range breakers {
		if config := b.Spec.Config; config.Mode == breaker.Enforce && config.WaitDurationInOpenState < wait {
			wait, whose = config.WaitDurationInOpenState, "upstream "+u.Name
			if route := b.Spec.Key.Route; route != "" {
				whose = "route " + route + " of " + whose
			}
		}
	}
	if whose == "" {
		return
	}
	ejected, most := yamlwalk.FormatDuration(o.BaseEjectionTime), yamlwalk.FormatDuration(wait)
	at := s.places.at(outlierPath+".baseEjectionTime", ejected)
	const why = "all its endpoints may be ejected, and until they are back half-open has none to probe"
	if s.meshWide(s.places[outlierPath]) {
		fs.note(at, "outlierDetection.baseEjectionTime: it is %s, and the waitDurationInOpenState of %s is %s: %s", ejected, whose, most, why)
		return
	}
	fs.fail(at, fmt.Sprintf("at most %s, the waitDurationInOpenState of %s: %s", most, whose, why), "ejection-outlasts-wait")
}
