package app

import (
	"time"

	"breakwater.dev/gate"
	"breakwater.dev/telemetry"
)

// applied hears which gates a proxy applies from a time on; nil: none.
func (a *app) applied(node string, set *gate.Set, at time.Time) {
	now := a.clock.Now()
	from := now.Add(time.Until(at))
	a.feed.Applied(node, set.Sampling(), from)
	a.gates.Applied(node, set, from)
	if set == nil && from <= now { // it came without a layer
		a.feed.Started(node)
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
