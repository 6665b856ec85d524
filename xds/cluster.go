package xds

import (
	"fmt"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	upstreamhttpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"breakwater.dev/breaker"
	"breakwater.dev/policy"
	"breakwater.dev/xds/internal/connect"
)

const (
	// upstreamIdleTimeout closes idle connections before common servers do (60 s is
	// usual, Envoy's own default is an hour). A request that meets a connection just
	// closed by its server is a reset, which would count against the upstream.
	upstreamIdleTimeout = 30 * time.Second
	// http2ProbeAfter and http2ProbeTimeout make a proxy ping an HTTP/2 connection
	// that was idle for so long before it trusts it with a call. Regular pings
	// would break the rules of gRPC servers, which allow one in five minutes.
	http2ProbeAfter   = 10 * time.Second
	http2ProbeTimeout = time.Second
)

// cluster returns the cluster of an upstream.
func cluster(u *policy.Upstream) (*clusterv3.Cluster, error) {
	balancer, ok := balancers[u.LoadBalancing.Policy]
	if !ok {
		return nil, fmt.Errorf("load balancing policy %q has no translation", u.LoadBalancing.Policy)
	}
	c := &clusterv3.Cluster{
		Name:             u.Name,
		ConnectTimeout:   durationpb.New(connect.Timeout),
		LbPolicy:         balancer,
		CircuitBreakers:  circuitBreakers(u.Limits),
		OutlierDetection: outlierDetection(u.Outlier),
		HealthChecks:     healthChecks(u),
		CommonLbConfig: &clusterv3.Cluster_CommonLbConfig{
			// Envoy's default of 50 % sends to ejected endpoints again as soon as half are out.
			HealthyPanicThreshold: percent(u.LoadBalancing.PanicThreshold),
			// A new endpoint takes no part in the panic arithmetic before its first check.
			IgnoreNewHostsUntilFirstHc: u.HealthCheck != nil,
		},
		// The policy says which endpoints there are: one that it drops goes at once,
		// even while it still passes its health check.
		IgnoreHealthOnHostRemoval: true,
	}
	if err := setDiscovery(c, u); err != nil {
		return nil, err
	}
	if u.Protocol == policy.TCP {
		if timeout := u.Routes[len(u.Routes)-1].Timeout; timeout > 0 {
			c.ConnectTimeout = durationpb.New(timeout) // the call, to the upstream's breaker
		}
	} else {
		options, err := protocolOptions(u.Protocol)
		if err != nil {
			return nil, err
		}
		if err := connect.SetHTTP(c, options); err != nil {
			return nil, err
		}
	}
	if u.TLS != nil {
		var err error
		if c.TransportSocket, err = upstreamTLS(u); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func setDiscovery(c *clusterv3.Cluster, u *policy.Upstream) error {
	if u.DNS == nil {
		c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS}
		c.EdsClusterConfig = &clusterv3.Cluster_EdsClusterConfig{EdsConfig: connect.OverADS(), ServiceName: u.Name}
		return nil
	}
	dns, err := connect.DNS()
	if err != nil {
		return err
	}
	c.ClusterDiscoveryType = dns
	c.LoadAssignment = connect.Host(u.Name, u.DNS.Name, u.DNS.Port)
	return nil
}

// balancers have no entry for policies that hash: there is nothing to say what of.
var balancers = map[policy.LoadBalancingPolicy]clusterv3.Cluster_LbPolicy{
	policy.RoundRobin:   clusterv3.Cluster_ROUND_ROBIN,
	policy.LeastRequest: clusterv3.Cluster_LEAST_REQUEST,
	policy.Random:       clusterv3.Cluster_RANDOM,
}

// protocolOptions fixes the protocol: one that is guessed can change with the
// first request, and the breaker would judge something else.
func protocolOptions(p policy.Protocol) (*upstreamhttpv3.HttpProtocolOptions, error) {
	explicit := &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig{}
	switch p {
	case policy.HTTP1:
		explicit.ProtocolConfig = &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{
			HttpProtocolOptions: &corev3.Http1ProtocolOptions{EnableTrailers: true},
		}
	case policy.HTTP2, policy.GRPC:
		explicit.ProtocolConfig = &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
			Http2ProtocolOptions: &corev3.Http2ProtocolOptions{ConnectionKeepalive: &corev3.KeepaliveSettings{
				ConnectionIdleInterval: durationpb.New(http2ProbeAfter),
				Timeout:                durationpb.New(http2ProbeTimeout),
			}},
		}
	default:
		return nil, fmt.Errorf("protocol %q has no translation", p)
	}
	return &upstreamhttpv3.HttpProtocolOptions{
		CommonHttpProtocolOptions: &corev3.HttpProtocolOptions{IdleTimeout: durationpb.New(upstreamIdleTimeout)},
		UpstreamProtocolOptions: &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: explicit,
		},
	}, nil
}

func percent(r breaker.Ratio) *typev3.Percent { return &typev3.Percent{Value: float64(r) / 100} }

func count(n uint32) *wrapperspb.UInt32Value { return wrapperspb.UInt32(n) }
