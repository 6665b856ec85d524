package gate

import (
	"math"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/wire"
)

// Gate is how proxies enforce one breaker. A gate with nothing except a key lets all calls through and logs all of them.
type Gate struct {
	// Key is the key of the breaker. With a node, the gate is for that proxy alone, and replaces the gate for all proxies.
	Key breaker.Key
	// Open is the share of calls that the proxy rejects itself, in millionths.
	Open uint32
	// Probe makes the remaining calls ask for permits, because the breaker is half-open. Connections do not ask.
	Probe bool
	// Sampling is how densely the proxy logs the calls.
	Sampling wire.Sampling
	// Connections is how many connections a proxy may have open at once to an upstream that speaks TCP. Nil leaves
	// the policy's limit.
	Connections *uint32
}

// brief reports whether the gate is for half-open or a ramp. It is right for a short time only, since it rejects calls to
// a service that may have recovered.
func (g *Gate) brief() bool { return g.Probe || g.Open > 0 && g.Open < wire.Million }

// never is later than all other instants.
const never = breaker.Instant(math.MaxInt64)

const (
	// leastProbes is the smallest share of calls that may ask for permits in half-open, in millionths.
	leastProbes = wire.Million / 100
	// probeStep is how often that share is doubled. There may be fewer calls than before the trip, and half-open must
	// not end because there were too few probes.
	probeStep = time.Second
	// rampSteps is the number of steps in a ramp, and rampStep the duration of the shortest step. Each step costs a
	// runtime layer for every proxy.
	rampSteps = 20
	rampStep  = 100 * time.Millisecond
)

// needsGate reports whether a breaker rejects or limits calls. In the mode MetricsOnly a breaker does so only if an
// operator has forced it.
func needsGate(s *breaker.Status) bool {
	if s.Config.Mode == breaker.MetricsOnly && s.Override == nil {
		return false
	}
	return s.State != breaker.Closed || s.Admits < breaker.Whole
}

// probesFrom returns when a half-open breaker admits probes. That is later than it became half-open where this control plane
// has taken it over, and probes may be in flight that it does not know.
func probesFrom(s *breaker.Status, now breaker.Instant) breaker.Instant {
	if s.RetryAfter == 0 {
		return s.Since
	}
	return now.Add(s.RetryAfter)
}

// gateOf returns the gate of a breaker that needs one, and the time until which it is valid without a transition. rate is
// how many calls per second the breaker had before it tripped; 0: not known.
func gateOf(s *breaker.Status, rate float64, now breaker.Instant) (g Gate, until breaker.Instant) {
	g.Key = s.Key
	switch s.State {
	case breaker.Open:
		g.Open = wire.Million // its end is a transition
		return g, never
	case breaker.HalfOpen:
		from := probesFrom(s, now)
		if now < from {
			g.Open = wire.Million
			return g, from
		}
		share, until := probing(now.Sub(from), s.Config.SuccessThreshold, rate)
		g.Open, g.Probe = wire.Million-share, true
		if until == 0 {
			return g, never
		}
		return g, from.Add(until)
	default:
		const unit = wire.Million / uint32(breaker.Whole)
		g.Open = (uint32(breaker.Whole) - uint32(s.Admits)) * unit
		return g, now.Add(max(s.Config.RampDuration/rampSteps, rampStep))
	}
}

// probing returns the share of calls that ask for permits, in millionths, when a breaker has admitted probes for past.
// until is the age of half-open at which the share grows; 0 if all calls ask already. The share is chosen so that
// wire.SampledPerSecond calls a second ask, or as many as successes requires.
func probing(past time.Duration, successes uint32, rate float64) (share uint32, until time.Duration) {
	wanted := max(wire.SampledPerSecond, float64(successes))
	first := float64(wire.Million)
	if rate > wanted {
		first = max(first*wanted/rate, leastProbes)
	}
	steps := max(past, 0) / probeStep
	grown := first * math.Exp2(float64(min(steps, 20)))
	if grown >= wire.Million {
		return wire.Million, 0
	}
	return uint32(grown), (steps + 1) * probeStep
}
