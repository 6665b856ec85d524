package xds

import (
	"breakwater.dev/xds/internal/resource"
)

// The type URLs of the resources, see https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol.
const (
	ClusterType     = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	EndpointType    = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
	SecretType      = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
	ListenerType    = "type.googleapis.com/envoy.config.listener.v3.Listener"
	RouteType       = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
	VirtualHostType = "type.googleapis.com/envoy.config.route.v3.VirtualHost"
	RuntimeType     = "type.googleapis.com/envoy.service.runtime.v3.Runtime"
)

// Types are the type URLs in the order that makes before it breaks: a proxy that gets them one after another never has a
// route to a cluster that it does not know.
var Types = []string{ClusterType, EndpointType, SecretType, ListenerType, RouteType, VirtualHostType, RuntimeType}

type (
	// Resource is one Envoy resource, marshalled once and shared by all proxies. It is immutable.
	Resource = resource.Resource
	// List is resources of one type, sorted by name. It is immutable. A nil list is empty.
	List = resource.List
	// Pool shares equal lists. The zero value is ready.
	Pool = resource.Pool
)

// Resources are the resources of one proxy by type URL. They are immutable.
type Resources map[string]*List
