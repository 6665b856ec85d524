package app

import (
	"breakwater.dev/breaker"
	"breakwater.dev/internal/driver"
	"breakwater.dev/internal/logs"
)

// observers are all parts that hear of transitions, in the order in which they do.
func (a *app) observers() []driver.Observer {
	return []driver.Observer{
		{
			Name: "gates", Observe: a.gates.Observe,
			Reason: "Proxies must learn of the change before anything is logged, counted or kept: until then calls pass an open breaker.",
		},
		{
			Name: "store", Observe: a.keep,
			Reason: "It only notes that there is something to write.",
		},
		{
			Name: "metrics", Observe: a.metrics.ObserveTransition,
			Reason: "A client that is told of a transition finds it in the metrics and in the answers about its breaker.",
		},
		{
			Name: "followers", Observe: a.api.ObserveTransition,
			Reason: "A log line about a transition comes when the metrics and those who follow transitions have it.",
		},
		{
			Name: "log", Observe: func(t breaker.Transition) { logs.LogTransition(a.log, t, a.clock.Wall) },
			Reason: "It writes to a file or a pipe that may be slow, and so comes last.",
		},
	}
}

// keep has the state of breakers written soon.
func (a *app) keep(breaker.Transition) {
	if a.keeper != nil {
		a.keeper.Notify()
	}
}
