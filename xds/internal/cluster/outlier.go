package cluster

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"breakwater.dev/outlier"
)

// outlierDetection writes every field out: Envoy enforces some rules by default and only counts others. It returns nil if
// the proxy does not judge endpoints by itself.
func outlierDetection(c *outlier.Config) *clusterv3.OutlierDetection {
	if c == nil || c.Scope == outlier.Mesh { // with Mesh the control plane judges, and ejects by EDS
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
