package app

import (
	"fmt"

	"breakwater.dev/api"
	"breakwater.dev/internal/httpapi"
)

// apiOptions connects the HTTP API with the other parts.
func (a *app) apiOptions() httpapi.Options {
	o := httpapi.Options{
		Version:  a.options.Version,
		Instance: a.options.Instance,
		Engine:   a.breakers,
		Clock:    a.clock,
		Deliver:  a.driver.Deliver,
		Policy:   a.current.Load,
		History:  a.metrics,
		Proxies:  a.xds,
		Outliers: a.outliers.detector,
		Ready:    a.conditions,
		Metrics:  a.metrics,
		Admin:    httpapi.Admin{Token: a.options.AdminToken, PlainText: a.options.HTTP.Insecure},
		Log:      a.log,
	}
	if a.replicas != nil {
		o.Replicas, o.Owner = a.sharing, a.replicas.Router.OwnerOf
	}
	return o
}

// sharing returns the replicas that share the breakers.
func (a *app) sharing() *api.Replicas {
	s := a.replicas.Router.Stats(a.clock.Now())
	all := &api.Replicas{View: api.Whole, Epoch: s.Epoch, Unreachable: s.Unreachable, Members: []api.Replica{}}
	for _, m := range s.Members {
		all.Members = append(all.Members, api.Replica{Name: m.Name, ID: m.ID, Address: m.Address, Reachable: m.Reached, Owns: m.Owns})
	}
	if s.Unreachable > 0 {
		all.View = fmt.Sprintf("local view, %d of %d replicas unreachable", s.Unreachable, len(s.Members))
	}
	return all
}

// conditions returns the conditions under which this process is ready. The two open ports need no condition: a client can
// ask only when they are open.
func (a *app) conditions() []api.Condition {
	stopping := api.Condition{Name: "serving", OK: !a.stopping.Load()}
	if !stopping.OK {
		stopping.Reason = "the process is shutting down"
	}
	return []api.Condition{{Name: "policy", OK: a.current.Load() != nil}, stopping}
}
