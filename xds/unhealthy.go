package xds

import (
	"fmt"
	"net/netip"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/proto"
)

// WithUnhealthy returns r, which holds the endpoints of an upstream, with the given ones marked UNHEALTHY, so that proxies
// send them no requests. Endpoints that r does not have make no difference; r itself is not changed. It is an error if r is
// a resource of another type.
func (r *Resource) WithUnhealthy(endpoints []netip.AddrPort) (*Resource, error) {
	assignment, ok := r.Message.(*endpointv3.ClusterLoadAssignment)
	if !ok {
		return nil, fmt.Errorf("resource %q is a %T, which has no endpoints", r.Name, r.Message)
	}
	out := make(map[netip.AddrPort]bool, len(endpoints))
	for _, e := range endpoints {
		out[e] = true
	}
	marked := proto.Clone(assignment).(*endpointv3.ClusterLoadAssignment)
	for _, locality := range marked.GetEndpoints() {
		for _, e := range locality.GetLbEndpoints() {
			socket := e.GetEndpoint().GetAddress().GetSocketAddress()
			ip, err := netip.ParseAddr(socket.GetAddress())
			if err != nil {
				continue // the endpoint has a name
			}
			if out[netip.AddrPortFrom(ip, uint16(socket.GetPortValue()))] {
				e.HealthStatus = corev3.HealthStatus_UNHEALTHY
			}
		}
	}
	return newResource(r.Name, marked)
}
