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

// keep makes the keeper save the states of breakers soon.
func (a *app) keep(breaker.Transition) {
	if a.keeper != nil {
		a.keeper.Notify()
	}
}
