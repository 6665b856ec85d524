package xds

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"breakwater.dev/outlier"
	"breakwater.dev/policy"
)

// circuitBreakers writes every limit out, so that none is left to a default of
// the proxy's version.
func circuitBreakers(l policy.ConnectionLimits) *clusterv3.CircuitBreakers {
	cb := &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{
		thresholds(corev3.RoutingPriority_DEFAULT, l.Default),
		thresholds(corev3.RoutingPriority_HIGH, l.High),
	}}
	if l.PerEndpointMaxConnections > 0 {
		// Of these Envoy reads max_connections alone (circuit_breaker.proto).
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

// outlierDetection writes every field out: Envoy enforces some rules by default
// and only counts others.
func outlierDetection(c *outlier.Config) *clusterv3.OutlierDetection {
	if c == nil || c.Scope == outlier.Mesh { // the control plane judges, and ejects by EDS
		return nil
	}
	return &clusterv3.OutlierDetection{
		Consecutive_5Xx:                        count(c.Consecutive5xxErrors),
		EnforcingConsecutive_5Xx:               count(uint32(c.EnforcingConsecutive5xxErrors)),
		ConsecutiveGatewayFailure:              count(c.ConsecutiveGatewayErrors),
		EnforcingConsecutiveGatewayFailure:     count(uint32(c.EnforcingConsecutiveGatewayErrors)),
		SplitExternalLocalOriginErrors:         c.SplitExternalLocalOriginErrors,
		ConsecutiveLocalOriginFailure:          count(c.ConsecutiveLocalOriginFailures),
		EnforcingConsecutiveLocalOriginFailure: count(uint32(c.EnforcingConsecutiveLocalOriginFailures)),
		EnforcingLocalOriginSuccessRate:        count(uint32(c.EnforcingLocalOriginSuccessRate)),
		Interval:                               durationpb.New(c.Interval),
		BaseEjectionTime:                       durationpb.New(c.BaseEjectionTime),
		MaxEjectionTime:                        durationpb.New(c.MaxEjectionTime),
		MaxEjectionTimeJitter:                  durationpb.New(c.MaxEjectionTimeJitter),
		MaxEjectionPercent:                     count(uint32(c.MaxEjectionPercent)),
		AlwaysEjectOneHost:                     wrapperspb.Bool(c.AlwaysEjectOneEndpoint),
		SuccessRateMinimumHosts:                count(c.SuccessRateMinimumEndpoints),
		SuccessRateRequestVolume:               count(c.SuccessRateRequestVolume),
		SuccessRateStdevFactor:                 count(c.SuccessRateStdevFactor),
		EnforcingSuccessRate:                   count(uint32(c.EnforcingSuccessRate)),
		FailurePercentageThreshold:             count(uint32(c.FailurePercentageThreshold)),
		FailurePercentageMinimumHosts:          count(c.FailurePercentageMinimumEndpoints),
		FailurePercentageRequestVolume:         count(c.FailurePercentageRequestVolume),
		EnforcingFailurePercentage:             count(uint32(c.EnforcingFailurePercentage)),
		EnforcingFailurePercentageLocalOrigin:  count(uint32(c.EnforcingFailurePercentageLocalOrigin)),
		SuccessfulActiveHealthCheckUnejectHost: wrapperspb.Bool(c.SuccessfulActiveHealthCheckUnejectsEndpoint),
		DetectDegradedHosts:                    wrapperspb.Bool(c.DetectDegradedEndpoints),
	}
}
