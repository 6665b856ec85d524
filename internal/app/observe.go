package app

import (
	"breakwater.dev/api"
	"breakwater.dev/internal/httpapi"
)

// apiOptions connects the HTTP API with the other parts.
func (a *app) apiOptions() httpapi.Options {
	return httpapi.Options{
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
