// Package listener makes the listeners of a proxy: the egress listener, where applications send requests to all upstreams,
// with its access log, and a listener for each upstream of protocol TCP.
//
// In: the address of the egress listener; upstreams of protocol TCP.
// Out: listeners.
// Called by: xds.
// Never: depends on a policy for the egress listener: a change would drain its connections. A policy takes effect through
// routes and runtime keys.
// Concurrency: functions of their arguments only.
package listener
