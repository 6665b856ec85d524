package connect

import (
	"math"
	"net/netip"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	upstreamhttpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"breakwater.dev/wire"
	"breakwater.dev/xds/internal/message"
)

// Timeout covers the TCP and TLS handshakes. It leaves room for one lost SYN, which kernels repeat after 1 s. It does not
// follow the policy's timeout: a connection outlives the request that asked for it, and cutting handshakes at the deadline
// of the most impatient route would let none ever finish. A request's own deadline runs on while it waits for a
// connection.
const Timeout = 2 * time.Second

const httpProtocolOptions = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

// SetHTTP packs the options into the cluster, which has no field of its own for them.
func SetHTTP(c *clusterv3.Cluster, options *upstreamhttpv3.HttpProtocolOptions) error {
	packed, err := message.Pack(options)
	if err != nil {
		return err
	}
	c.TypedExtensionProtocolOptions = map[string]*anypb.Any{httpProtocolOptions: packed}
	return nil
}

// OverADS takes a resource from the stream by which all others come.
func OverADS() *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
		ResourceApiVersion:    corev3.ApiVersion_V3,
	}
}

// Unlimited returns the circuit breakers of a cluster for requests that are limited at both ends.
func Unlimited() *clusterv3.CircuitBreakers {
	unlimited := &clusterv3.CircuitBreakers{}
	for _, priority := range []corev3.RoutingPriority{corev3.RoutingPriority_DEFAULT, corev3.RoutingPriority_HIGH} {
		unlimited.Thresholds = append(unlimited.Thresholds, &clusterv3.CircuitBreakers_Thresholds{
			Priority:           priority,
			MaxConnections:     wrapperspb.UInt32(math.MaxUint32),
			MaxPendingRequests: wrapperspb.UInt32(math.MaxUint32),
			MaxRequests:        wrapperspb.UInt32(math.MaxUint32),
			MaxRetries:         wrapperspb.UInt32(math.MaxUint32),
		})
	}
	return unlimited
}

// Egress returns the cluster by which a proxy calls itself, at the address of its egress listener.
func Egress(listen netip.AddrPort) (*clusterv3.Cluster, error) {
	to := listen
	switch {
	case listen.Addr() == netip.IPv4Unspecified():
		to = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), listen.Port())
	case listen.Addr() == netip.IPv6Unspecified():
		to = netip.AddrPortFrom(netip.IPv6Loopback(), listen.Port())
	}
	c := &clusterv3.Cluster{
		Name:                 wire.EgressCluster,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		ConnectTimeout:       durationpb.New(Timeout),
		CircuitBreakers:      Unlimited(),
		LoadAssignment: &endpointv3.ClusterLoadAssignment{
			ClusterName: wire.EgressCluster,
			Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
				HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: Address(to)}},
			}}}},
		},
	}
	// Requests go on by the protocol by which they came, so that trailers and upgrades pass.
	options := &upstreamhttpv3.HttpProtocolOptions{
		UpstreamProtocolOptions: &upstreamhttpv3.HttpProtocolOptions_UseDownstreamProtocolConfig{
			UseDownstreamProtocolConfig: &upstreamhttpv3.HttpProtocolOptions_UseDownstreamHttpConfig{
				HttpProtocolOptions:  &corev3.Http1ProtocolOptions{EnableTrailers: true},
				Http2ProtocolOptions: &corev3.Http2ProtocolOptions{},
			},
		},
	}
	if err := SetHTTP(c, options); err != nil {
		return nil, err
	}
	return c, nil
}
