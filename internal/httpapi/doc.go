// Package httpapi answers HTTP requests about a control plane: health, breakers, transitions and configuration, with the
// types of package api. It also takes changes by hand from operators who have the admin token.
//
// In: the engine with its clock, and what other parts know, by the interfaces in [Options]; transitions as they happen.
// Out: an [http.Handler] with the endpoints that its index page lists; one log line for each attempt at a change by hand.
// Called by: the app, which wires it.
// Never: changes a breaker but by hand, knows what is in the answer of /metrics, or knows of xds, extproc, feed or Envoy's API.
// Concurrency: everything is safe for concurrent use; what it is made of has to be, too.
package httpapi
