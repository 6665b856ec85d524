package xds

import (
	"fmt"
	"net/netip"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"

	"breakwater.dev/endpoints"
	"breakwater.dev/policy"
	"breakwater.dev/xds/internal/connect"
	"breakwater.dev/xds/internal/resource"
)

// Endpoints returns the endpoints of one upstream as a resource. The ejected ones are UNHEALTHY, so that proxies send them no
// requests. It is an error if an endpoint could not have come from package policy.
func Endpoints(upstream string, u endpoints.Upstream) (*Resource, error) {
	r, err := resource.Make(upstream, loadAssignment(upstream, u))
	if err != nil {
		return nil, fmt.Errorf("translating the endpoints of upstream %q: %w", upstream, err)
	}
	return r, nil
}

// AllEndpoints returns the endpoints of all upstreams of a set that are not found by DNS, sorted by name. An upstream that
// the table does not know has none.
func AllEndpoints(set *policy.Set, table *endpoints.Table) ([]*Resource, error) {
	var all []*Resource
	for _, u := range set.Upstreams {
		if u.DNS != nil {
			continue
		}
		content, _ := table.Upstream(u.Name)
		r, err := Endpoints(u.Name, content)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// loadAssignment lists the endpoints of an upstream, one locality for each zone in the order in which the endpoints first
// name it. Zones do not steer traffic; they show up in Envoy's statistics for each zone.
func loadAssignment(upstream string, u endpoints.Upstream) *endpointv3.ClusterLoadAssignment {
	la := &endpointv3.ClusterLoadAssignment{ClusterName: upstream}
	byZone := map[string]*endpointv3.LocalityLbEndpoints{}
	for _, e := range u.Endpoints {
		locality := byZone[e.Zone]
		if locality == nil {
			locality = &endpointv3.LocalityLbEndpoints{Locality: &corev3.Locality{Zone: e.Zone}}
			byZone[e.Zone] = locality
			la.Endpoints = append(la.Endpoints, locality)
		}
		endpoint := connect.Endpoint(connect.Address(netip.AddrPortFrom(e.Address, e.Port)), e.Weight)
		if u.IsEjected(e) {
			endpoint.HealthStatus = corev3.HealthStatus_UNHEALTHY
		}
		locality.LbEndpoints = append(locality.LbEndpoints, endpoint)
	}
	return la
}
