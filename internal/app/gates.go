package app

import (
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/gate"
)

// applied records, for the feed and the publisher, that a proxy applies gates from a time on; nil: it applies no gates from then
// on.
func (a *app) applied(node string, gates *gate.Mix, at time.Time) {
	now := a.clock.Now()
	from := now.Add(time.Until(at))
	a.feed.Applied(node, gates, from)
	a.gates.Applied(node, gates, from)
	if gates == nil && from <= now { // the proxy has connected without gates, so it has restarted
		a.feed.Started(node)
	}
}

// logAll has all proxies log all calls of a breaker, also the proxies of other replicas.
func (a *app) logAll(key breaker.Key) {
	a.gates.LogAll(key)
	if a.replicas != nil {
		a.replicas.Router.Suspect(key)
	}
}
