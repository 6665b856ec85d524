package app

import (
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/feed"
	"breakwater.dev/gate"
	"breakwater.dev/telemetry"
	"breakwater.dev/wire"
)

// reports is what the feed tells the publisher of gates.
type reports struct{ feed *feed.Server }

// Sample implements [publisher.Feed].
func (r reports) Sample(now breaker.Instant) map[breaker.Key]wire.Sampling {
	all := map[breaker.Key]wire.Sampling{}
	for _, s := range r.feed.Sample(now) {
		all[s.Key] = wire.Sampling{Passed: s.OneIn, Rejected: s.RejectsOneIn}
	}
	return all
}

// Rate implements [publisher.Feed].
func (r reports) Rate(key breaker.Key) float64 { return r.feed.Traffic(key) }

// Links implements [publisher.Feed].
func (r reports) Links(upstream, node string) gate.Links {
	l := r.feed.Links(upstream, node)
	return gate.Links{
		Connections: l.Connections, Connecting: l.Connecting, Called: l.Called, Refused: l.Refused, Admitted: l.Admitted, Pause: l.Pause,
	}
}

// applied hears which gates a proxy applies from a time on; nil: none.
func (a *app) applied(node string, set *gate.Set, at time.Time) {
	now := a.clock.Now()
	from := now.Add(time.Until(at))
	a.feed.Applied(node, set.Sampling(), from)
	a.gates.Applied(node, set, from)
	if set == nil && from <= now { // it came without a layer
		a.feed.Began(node)
	}
}

// gateStatus is what operators see of the gates.
func (a *app) gateStatus() telemetry.GateStatus {
	c, rollouts := a.gates.Counts(), a.xds.Rollouts()
	return telemetry.GateStatus{
		Open: c.Open, Probing: c.Probing, Ramping: c.Ramping, Connections: c.Connections,
		LayerBytes: a.xds.LayerBytes(), Refused: rollouts.Refused, Waiting: rollouts.Waiting,
	}
}
