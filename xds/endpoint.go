package xds

import (
	"net/netip"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"breakwater.dev/policy"
)

// loadAssignment lists the endpoints of an upstream, one locality for each zone
// in the order in which the policy first names it. Zones do not steer traffic;
// they show up in Envoy's per-zone statistics.
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
			lbEndpoint(address(netip.AddrPortFrom(e.Address, e.Port)), e.Weight))
	}
	return la
}

// nameAssignment is the one endpoint of an upstream that is found by DNS.
func nameAssignment(cluster, name string, port uint16) *endpointv3.ClusterLoadAssignment {
	return &endpointv3.ClusterLoadAssignment{
		ClusterName: cluster,
		Endpoints: []*endpointv3.LocalityLbEndpoints{{
			LbEndpoints: []*endpointv3.LbEndpoint{lbEndpoint(socketAddress(name, port), 1)},
		}},
	}
}

func lbEndpoint(a *corev3.Address, weight uint32) *endpointv3.LbEndpoint {
	return &endpointv3.LbEndpoint{
		HostIdentifier:      &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: a}},
		LoadBalancingWeight: wrapperspb.UInt32(weight),
	}
}

func address(a netip.AddrPort) *corev3.Address {
	return socketAddress(a.Addr().String(), a.Port())
}

func socketAddress(host string, port uint16) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address:       host,
		PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(port)},
	}}}
}
