package app

import (
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/policy"
	"breakwater.dev/xds/discovery"
)

// change is a policy on its way into force. Everything that can fail has been done.
type change struct {
	set         *policy.Set
	publication *discovery.Publication
	breakers    breaker.Changes // set by the step "engine"
}

// step applies a policy to one part.
type step struct {
	name string
	// after has the names of the steps that must come before this one, each with the reason.
	after map[string]string
	apply func(*change)
}

// steps returns all steps that put a policy in force, in their order. No step can fail.
func (a *app) steps() []step {
	return []step{
		{name: "answers", apply: func(c *change) { a.current.Store(c.set) }},
		{name: "metrics", apply: func(c *change) { a.metrics.Apply(c.set, time.Now()) }},
		{name: "access", apply: func(c *change) { a.xds.Admit(c.publication) }},
		{name: "engine", apply: a.applyBreakers, after: map[string]string{
			"answers": "The answer about a breaker that this policy changes must show this policy.",
			"metrics": "A transition of a breaker without series is not counted.",
		}},
		{name: "ext_proc", apply: func(c *change) { a.extproc.Apply(c.set) }, after: map[string]string{
			"access": "Proxies must not report on a new breaker that their workload may not call.",
		}},
		{name: "feed", apply: func(c *change) { a.feed.Apply(c.set) }, after: map[string]string{
			"access": "Proxies must not report on a new breaker that their workload may not call.",
		}},
		{name: "outlier detection", apply: func(c *change) { a.outliers.apply(c.set) }},
		{name: "gates", apply: func(c *change) { a.gates.Apply(c.set) }, after: map[string]string{
			"engine": "A breaker can be open from the start, such as one that was removed and comes back. Its gate must not wait for the transition to be delivered.",
		}},
		{name: "proxies", apply: func(c *change) { a.xds.Publish(c.publication) }, after: map[string]string{
			"ext_proc":          "A request that asks about an unknown breaker is let through.",
			"feed":              "Log entries about an unknown breaker are dropped.",
			"gates":             "New routes that look for the gate of an open breaker must find it.",
			"outlier detection": "Endpoints that are no longer judged must not be sent as ejected.",
		}},
	}
}

// runSteps puts a policy in force, step by step.
func runSteps(steps []step, c *change) {
	for i := range steps {
		steps[i].apply(c)
	}
}

// applyBreakers gives the breakers of a policy to the engine, and then to the replicas that share them: a breaker that another
// replica hands over has to be in the engine.
func (a *app) applyBreakers(c *change) {
	c.breakers = a.engine.Apply(c.set.Specs(), a.clock.Now())
	if a.replicas != nil {
		connections := func(key breaker.Key) bool {
			u := c.set.Upstream(key.Upstream)
			return u != nil && u.Protocol == policy.TCP
		}
		a.replicas.Router.Apply(c.set.Specs(), connections, a.clock.Now())
	}
}
