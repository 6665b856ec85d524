package xds

import (
	"net/netip"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"

	"breakwater.dev/policy"
	"breakwater.dev/xds/internal/connect"
)

// loadAssignment lists the endpoints of an upstream, one locality for each zone in the order in which the policy first
// names it. Zones do not steer traffic; they show up in Envoy's statistics for each zone.
func loadAssignment(u *policy.Upstream) *endpointv3.ClusterLoadAssignment {
	la := &endpointv3.ClusterLoadAssignment{ClusterName: u.Name}
	byZone := map[string]*endpointv3.LocalityLbEndpoints{}
	for _, e := range u.Endpoints {
		locality := byZone[e.Zone]
		if locality == nil {
			locality = &endpointv3.LocalityLbEndpoints{Locality: &corev3.Locality{Zone: e.Zone}}
			byZone[e.Zone] = locality
			la.Endpoints = append(la.Endpoints, locality)
		}
		locality.LbEndpoints = append(locality.LbEndpoints,
			connect.Endpoint(connect.Address(netip.AddrPortFrom(e.Address, e.Port)), e.Weight))
	}
	return la
}
