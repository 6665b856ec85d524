package gates

import (
	"math"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/wire"
	"breakwater.dev/xds"
)

// never is when the gates change that time does not change.
const never = breaker.Instant(math.MaxInt64)

const (
	// probeRate is how many calls per second are let through to ask for permits, as far
	// as the traffic from before the trip tells. It is what a proxy logs of an upstream too,
	// below which all calls are.
	probeRate = wire.SampledPerSecond
	// leastProbes is the smallest share of calls that is let through to ask.
	leastProbes = wire.Million / 100
	// probeStep is after how long that share is doubled: callers may have gone away since,
	// and half-open is not to end for want of probes.
	probeStep = time.Second
	// rampSteps is in how many steps a ramp lets all calls through, and rampStep the
	// shortest: each is a layer sent to all proxies.
	rampSteps = 20
	rampStep  = 100 * time.Millisecond
)

// stands tells whether a breaker is other than plainly closed. Where the mode is
// MetricsOnly nothing stands, unless a person put it there.
func stands(s *breaker.Status) bool {
	if s.Config.Mode == breaker.MetricsOnly && s.Override == nil {
		return false
	}
	return s.State != breaker.Closed || s.Admits < breaker.Whole
}

// gateOf is the gate of a breaker that is not plainly closed, and when time will change it.
func gateOf(s *breaker.Status, traffic float64, now breaker.Instant) (g xds.Gate, until breaker.Instant) {
	g.Key = s.Key
	switch s.State {
	case breaker.Open:
		g.Open = wire.Million // its end is a transition
		return g, never
	case breaker.HalfOpen:
		share, until := probing(now.Sub(s.Since), s.Config.SuccessThreshold, traffic)
		g.Open, g.Probe = wire.Million-share, true
		if until == 0 {
			return g, never
		}
		return g, s.Since.Add(until)
	default:
		const unit = wire.Million / uint32(breaker.Whole)
		g.Open = (uint32(breaker.Whole) - uint32(s.Admits)) * unit
		return g, now.Add(max(s.Config.RampDuration/rampSteps, rampStep))
	}
}

// probing is the share of calls that ask for permits, so long into half-open, and how
// long into it that will be more; 0: it is all.
func probing(past time.Duration, successes uint32, traffic float64) (share uint32, until time.Duration) {
	wanted := max(probeRate, float64(successes))
	first := float64(wire.Million)
	if traffic > wanted {
		first = max(first*wanted/traffic, leastProbes)
	}
	steps := max(past, 0) / probeStep
	grown := first * math.Exp2(float64(min(steps, 20)))
	if grown >= wire.Million {
		return wire.Million, 0
	}
	return uint32(grown), (steps + 1) * probeStep
}
