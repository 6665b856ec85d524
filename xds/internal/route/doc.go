// Package route makes the routes of a proxy's egress listener: to the cluster of each upstream, and for each breaker the
// routes that enforce it.
//
// In: a policy; or any route of Envoy's, with a breaker for it.
// Out: a route configuration; the routes that the given route becomes.
// Called by: xds, for its own routes. [SplitRoute] knows nothing of xds, so that it can be used for the routes of a foreign control plane.
// Never: changes a given route, or says which share of the requests a route gets: see package gate.
// Concurrency: functions of their arguments only.
package route
