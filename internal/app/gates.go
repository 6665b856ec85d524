package app

import (
	"time"

	"breakwater.dev/gate"
)

// applied records, for the feed and the publisher, that a proxy applies a set of gates from a time on; nil: it applies no
// gates from then on.
func (a *app) applied(node string, set *gate.Set, at time.Time) {
	now := a.clock.Now()
	from := now.Add(time.Until(at))
	a.feed.Applied(node, set.Sampling(), from)
	a.gates.Applied(node, set, from)
	if set == nil && from <= now { // the proxy has connected without gates, so it has restarted
		a.feed.Started(node)
	}
}
