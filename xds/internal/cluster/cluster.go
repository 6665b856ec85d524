package cluster

import (
	"fmt"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"breakwater.dev/breaker"
	"breakwater.dev/policy"
	"breakwater.dev/xds/internal/connect"
)

// Upstream returns the cluster of an upstream, which has the upstream's name. It is an error if the load balancing policy or
// the protocol has no translation.
func Upstream(u *policy.Upstream) (*clusterv3.Cluster, error) {
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
			// With Envoy's default of 50 % ejected endpoints get requests again as soon as half of all are out.
			HealthyPanicThreshold: percent(u.LoadBalancing.PanicThreshold),
			// A new endpoint takes no part in the panic arithmetic before its first check.
			IgnoreNewHostsUntilFirstHc: u.HealthCheck != nil,
		},
		// The policy says which endpoints there are: an endpoint that it drops goes at once, even while it still passes its
		// health check.
		IgnoreHealthOnHostRemoval: true,
	}
	if err := setDiscovery(c, u); err != nil {
		return nil, err
	}
	if u.Protocol == policy.TCP {
		if timeout := u.Routes[len(u.Routes)-1].Timeout; timeout > 0 {
			c.ConnectTimeout = durationpb.New(timeout) // for the breaker, the attempt to connect is the call
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

// setDiscovery says how the proxy finds the endpoints.
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
	c.LoadAssignment = connect.To(u.Name, connect.Host{Name: u.DNS.Name, Port: u.DNS.Port})
	return nil
}

// balancers have no entry for policies that hash, since a policy has no setting for the key.
var balancers = map[policy.LoadBalancingPolicy]clusterv3.Cluster_LbPolicy{
	policy.RoundRobin:   clusterv3.Cluster_ROUND_ROBIN,
	policy.LeastRequest: clusterv3.Cluster_LEAST_REQUEST,
	policy.Random:       clusterv3.Cluster_RANDOM,
}

// percent returns a share in percent.
func percent(r breaker.Ratio) *typev3.Percent { return &typev3.Percent{Value: float64(r) / 100} }

func count(n uint32) *wrapperspb.UInt32Value { return wrapperspb.UInt32(n) }
