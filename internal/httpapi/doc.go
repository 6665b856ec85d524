// Package httpapi answers HTTP requests about a control plane: health, breakers, transitions and configuration, with the
// types of package api. It also takes changes by hand from operators who have the admin token.
//
// In: the engine with its clock, and other parts of the control plane, by the interfaces in [Options]; transitions as they happen.
// Out: an [http.Handler] with the endpoints that its index page lists; one log line for each attempt at a change by hand,
// and a metric that counts them.
// Called by: the app, which wires it.
// Never: changes a breaker except by hand, knows any metric of others, or knows of xds, extproc, feed or Envoy's API.
// Concurrency: everything is safe for concurrent use; the parts in [Options] have to be, too.
package httpapi
