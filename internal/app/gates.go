package app

import (
	"time"

	"breakwater.dev/gate"
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
