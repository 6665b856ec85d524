// Package xdswire reads and writes the messages of Envoy's discovery services without their generated types.
//
// In: the bytes of responses; the parts of requests.
// Out: the names, versions and bodies in responses, what resources refer to, and the bytes of requests.
// Called by: the simulated proxies, of which thousands are in one process, too many to decode whole resources.
// Never: keeps the bytes that it is given, apart from the slices in a Response.
// Concurrency: functions of their arguments only.
package xdswire

// Type URLs of the resources that proxies ask for.
const (
	Cluster     = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	Endpoint    = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
	Secret      = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
	Listener    = "type.googleapis.com/envoy.config.listener.v3.Listener"
	Route       = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
	VirtualHost = "type.googleapis.com/envoy.config.route.v3.VirtualHost"
	Runtime     = "type.googleapis.com/envoy.service.runtime.v3.Runtime"

	// wrapped is the type of a resource with a TTL in the state-of-the-world protocol.
	wrapped = "type.googleapis.com/envoy.service.discovery.v3.Resource"
)
