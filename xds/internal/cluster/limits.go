package cluster

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"breakwater.dev/policy"
)

// circuitBreakers writes every limit out, so that none is left to a default of the proxy's version.
func circuitBreakers(l policy.ConnectionLimits) *clusterv3.CircuitBreakers {
	cb := &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{
		thresholds(corev3.RoutingPriority_DEFAULT, l.Default),
		thresholds(corev3.RoutingPriority_HIGH, l.High),
	}}
	if l.PerEndpointMaxConnections > 0 {
		// Envoy reads only max_connections in them (circuit_breaker.proto).
		cb.PerHostThresholds = []*clusterv3.CircuitBreakers_Thresholds{
			{Priority: corev3.RoutingPriority_DEFAULT, MaxConnections: count(l.PerEndpointMaxConnections)},
			{Priority: corev3.RoutingPriority_HIGH, MaxConnections: count(l.PerEndpointMaxConnections)},
		}
	}
	return cb
}

func thresholds(p corev3.RoutingPriority, l policy.Limits) *clusterv3.CircuitBreakers_Thresholds {
	t := &clusterv3.CircuitBreakers_Thresholds{
		Priority:           p,
		MaxConnections:     count(l.MaxConnections),
		MaxPendingRequests: count(l.MaxPendingRequests),
		MaxRequests:        count(l.MaxRequests),
		MaxRetries:         count(l.MaxRetries),
		TrackRemaining:     l.TrackRemaining,
	}
	if l.MaxConnectionPools > 0 {
		t.MaxConnectionPools = count(l.MaxConnectionPools)
	}
	if b := l.RetryBudget; b != nil {
		t.RetryBudget = &clusterv3.CircuitBreakers_Thresholds_RetryBudget{
			BudgetPercent:       percent(b.Percent),
			MinRetryConcurrency: count(b.MinConcurrency),
		}
		if b.Interval > 0 {
			t.RetryBudget.BudgetInterval = durationpb.New(b.Interval)
		}
	}
	return t
}
