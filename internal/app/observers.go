package app

import (
	"breakwater.dev/breaker"
	"breakwater.dev/internal/driver"
	"breakwater.dev/internal/logs"
)

// observers returns all parts that get transitions, in the order in which they get each one.
func (a *app) observers() []driver.Observer {
	return []driver.Observer{
		{
			Name: "gates", Observe: a.gates.Observe,
			Reason: "Proxies must learn of the change before anything is logged, counted or kept: until then calls pass an open breaker.",
		},
		{
			Name: "store", Observe: a.keep,
			Reason: "It only notes that a state must be saved, so it delays no other part.",
		},
		{
			Name: "metrics", Observe: a.metrics.ObserveTransition,
			Reason: "A client that follows transitions must find each of them in the metrics and in the pages of its breaker.",
		},
		{
			Name: "followers", Observe: a.api.ObserveTransition,
			Reason: "When a transition is in the log, the metrics and the clients that follow transitions have it too.",
		},
		{
			Name: "log", Observe: func(t breaker.Transition) { logs.LogTransition(a.log, t, a.clock.Wall) },
			Reason: "It writes to a file or a pipe, which may be slow. No other part must wait for that.",
		},
	}
}

// mirroring has the names of the observers that also get the transitions that other replicas make. All others must get each
// transition at one replica only, so that it is counted, kept and logged once.
var mirroring = map[string]bool{"gates": true, "followers": true}

// firstObservers returns the observers of this replica's engine. Where breakers are shared, the router is the only one: it passes
// on the transitions of breakers that are this replica's, and those of other replicas.
func (a *app) firstObservers() []driver.Observer {
	if a.replicas == nil {
		return a.observers()
	}
	return []driver.Observer{{
		Name: "replicas", Observe: func(t breaker.Transition) { a.replicas.router.Observe(t, a.clock.Now()) },
		Reason: "It knows whose breaker it is.",
	}}
}

// observe passes a transition on. mirrored means that another replica has made it.
func (a *app) observe(t breaker.Transition, mirrored bool) {
	if mirrored {
		a.metrics.RememberTransition(t) // before followers look for it
	}
	for _, o := range a.observers() {
		if !mirrored || mirroring[o.Name] {
			o.Observe(t)
		}
	}
}

// keep makes the keeper save the states of breakers soon.
func (a *app) keep(breaker.Transition) {
	switch {
	case a.replicas != nil && a.replicas.store != nil:
		a.replicas.saver.Notify()
	case a.keeper != nil:
		a.keeper.Notify()
	}
}
