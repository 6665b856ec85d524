package connect

import (
	"net/netip"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Address returns an address and port to connect to or to listen at.
func Address(a netip.AddrPort) *corev3.Address {
	return socketAddress(a.Addr().String(), a.Port())
}

func socketAddress(host string, port uint16) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address:       host,
		PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(port)},
	}}}
}

// Endpoint returns an endpoint that gets a share of the requests by its weight.
func Endpoint(a *corev3.Address, weight uint32) *endpointv3.LbEndpoint {
	return &endpointv3.LbEndpoint{
		HostIdentifier:      &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: a}},
		LoadBalancingWeight: wrapperspb.UInt32(weight),
	}
}

// Host is a host with a name, which is found by [DNS], or an address.
type Host struct {
	Name string
	Port uint16
}

// IsName reports whether the host's name is no address.
func (h Host) IsName() bool { return !isAddress(h.Name) }

// To returns the endpoints of a cluster with some hosts.
func To(cluster string, hosts ...Host) *endpointv3.ClusterLoadAssignment {
	all := make([]*endpointv3.LbEndpoint, len(hosts))
	for i, h := range hosts {
		all[i] = Endpoint(socketAddress(h.Name, h.Port), 1)
	}
	return &endpointv3.ClusterLoadAssignment{
		ClusterName: cluster, Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: all}},
	}
}
