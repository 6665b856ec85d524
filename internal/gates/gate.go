package gates

import (
	"math"
	"slices"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/xds"
)

// never is when the gates change that time does not change.
const never = breaker.Instant(math.MaxInt64)

const (
	// probeRate is how many calls per second are let through to ask for permits, as far
	// as the traffic from before the trip tells. It is what a proxy logs of an upstream too,
	// below which all calls are.
	probeRate = 50
	// leastProbes is the smallest share of calls that is let through to ask.
	leastProbes = xds.Million / 100
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
		g.Open = xds.Million // its end is a transition
		return g, never
	case breaker.HalfOpen:
		share, until := probing(now.Sub(s.Since), s.Config.SuccessThreshold, traffic)
		g.Open, g.Probe = xds.Million-share, true
		if until == 0 {
			return g, never
		}
		return g, s.Since.Add(until)
	default:
		const unit = xds.Million / uint32(breaker.Whole)
		g.Open = (uint32(breaker.Whole) - uint32(s.Admits)) * unit
		return g, now.Add(max(s.Config.RampDuration/rampSteps, rampStep))
	}
}

// probing is the share of calls that ask for permits, so long into half-open, and how
// long into it that will be more; 0: it is all.
func probing(past time.Duration, successes uint32, traffic float64) (share uint32, until time.Duration) {
	wanted := max(probeRate, float64(successes))
	first := float64(xds.Million)
	if traffic > wanted {
		first = max(first*wanted/traffic, leastProbes)
	}
	steps := max(past, 0) / probeStep
	grown := first * math.Exp2(float64(min(steps, 20)))
	if grown >= xds.Million {
		return xds.Million, 0
	}
	return uint32(grown), (steps + 1) * probeStep
}

// appendConnections appends a gate for each proxy. A connection is a call for as long as
// it lasts, and a proxy lets a new one through while it has fewer than its gate says: so
// an open breaker's gate lets none through whatever there are, and in half-open the
// probes that are permitted come on top of them, dealt out among the proxies. Which of them
// get one more, or one at all, is another choice each time.
func appendConnections(gates []xds.Gate, s *breaker.Status, proxies []Proxy) []xds.Gate {
	none := uint32(0)
	if s.State == breaker.Open {
		return append(gates, xds.Gate{Key: s.Key, Connections: &none})
	}
	if s.State != breaker.HalfOpen {
		return gates
	}
	if s.Key.Node != "" {
		i := slices.IndexFunc(proxies, func(p Proxy) bool { return p.Node == s.Key.Node })
		limit := s.Config.PermittedNumberOfCallsInHalfOpenState
		if i >= 0 {
			limit += proxies[i].Connections
		}
		return append(gates, xds.Gate{Key: s.Key, Probe: true, Connections: &limit})
	}
	n := uint64(len(proxies))
	permits := uint64(s.Config.PermittedNumberOfCallsInHalfOpenState)
	// Who connects from now on has to wait for the next deal.
	gates = append(gates, xds.Gate{Key: s.Key, Probe: true, Connections: &none})
	for i, p := range proxies {
		place := (uint64(i) + s.Generation*permits) % n
		limit := p.Connections + uint32(permits/n)
		if place < permits%n {
			limit++
		}
		key := s.Key
		key.Node = p.Node
		gates = append(gates, xds.Gate{Key: key, Probe: true, Connections: &limit})
	}
	return gates
}
