package outlier

import (
	"time"
)

// Scope is who judges the endpoints of an upstream.
type Scope string

// The scopes.
const (
	// Node leaves it to each proxy, by what it alone has seen: Envoy's own detection.
	Node Scope = "Node"
	// Mesh judges by what all proxies have seen, and ejects for all of them.
	Mesh Scope = "Mesh"
)

// Config is Envoy's OutlierDetection (envoy/config/cluster/v3/outlier_detection.proto,
// as of Envoy 1.40) with every field resolved. Percentages are whole numbers
// from 0 to 100. The comment of each field names Envoy's field and its default.
//
// An Enforcing field is the chance that an endpoint found by that rule is
// really ejected: 0 detects and counts, 100 always ejects.
type Config struct {
	// Scope is who judges. It has no field in Envoy.
	Scope Scope

	// Consecutive5xxErrors ejects after so many responses 5xx (for TCP: failed
	// connections) in a row; 0 turns the rule off. Envoy: consecutive_5xx, 5.
	Consecutive5xxErrors uint32
	// EnforcingConsecutive5xxErrors. Envoy: enforcing_consecutive_5xx, 100.
	EnforcingConsecutive5xxErrors uint32
	// ConsecutiveGatewayErrors ejects after so many of 502, 503 and 504 in a row;
	// 0 turns the rule off. Envoy: consecutive_gateway_failure, 5.
	ConsecutiveGatewayErrors uint32
	// EnforcingConsecutiveGatewayErrors. Envoy: enforcing_consecutive_gateway_failure, 0.
	EnforcingConsecutiveGatewayErrors uint32

	// SplitExternalLocalOriginErrors judges errors that the proxy itself saw
	// (connect failure, timeout, reset) apart from those the endpoint answered.
	// The three LocalOrigin rules count only with it. Envoy: split_external_local_origin_errors, false.
	SplitExternalLocalOriginErrors bool
	// ConsecutiveLocalOriginFailures ejects after so many such errors in a row;
	// 0 turns the rule off. Envoy: consecutive_local_origin_failure, 5.
	ConsecutiveLocalOriginFailures uint32
	// EnforcingConsecutiveLocalOriginFailures. Envoy: enforcing_consecutive_local_origin_failure, 100.
	EnforcingConsecutiveLocalOriginFailures uint32
	// EnforcingLocalOriginSuccessRate. Envoy: enforcing_local_origin_success_rate, 100.
	EnforcingLocalOriginSuccessRate uint32

	// Interval is the time between two sweeps, which eject by statistics and bring
	// endpoints back. Envoy: interval, 10s.
	Interval time.Duration
	// BaseEjectionTime is multiplied by how often the endpoint has been ejected.
	// Envoy: base_ejection_time, 30s.
	BaseEjectionTime time.Duration
	// MaxEjectionTime caps that product. Envoy: max_ejection_time, the larger of
	// 300s and BaseEjectionTime.
	MaxEjectionTime time.Duration
	// MaxEjectionTimeJitter is the most that is added at random, so that proxies do
	// not all return at once. Envoy: max_ejection_time_jitter, 0s.
	MaxEjectionTimeJitter time.Duration
	// MaxEjectionPercent is how many of the endpoints may be out at once. It rounds
	// down: 10 % of 9 endpoints is none (envoyproxy/envoy issues 26877, 27066).
	// Envoy: max_ejection_percent, 10.
	MaxEjectionPercent uint32
	// AlwaysEjectOneEndpoint lets one go whatever MaxEjectionPercent says.
	// Envoy: always_eject_one_host, false.
	AlwaysEjectOneEndpoint bool

	// SuccessRateMinimumEndpoints is how many endpoints need enough traffic before
	// success rates are compared. Envoy: success_rate_minimum_hosts, 5.
	SuccessRateMinimumEndpoints uint32
	// SuccessRateRequestVolume is the traffic of one interval that makes an
	// endpoint's success rate count. Envoy: success_rate_request_volume, 100.
	SuccessRateRequestVolume uint32
	// SuccessRateStdevFactor times the standard deviation below the mean is where
	// ejection begins, in thousandths. Envoy: success_rate_stdev_factor, 1900.
	SuccessRateStdevFactor uint32
	// EnforcingSuccessRate. Envoy: enforcing_success_rate, 100.
	EnforcingSuccessRate uint32

	// FailurePercentageThreshold ejects an endpoint whose share of failures in an
	// interval is at least this. Envoy: failure_percentage_threshold, 85.
	FailurePercentageThreshold uint32
	// FailurePercentageMinimumEndpoints is how many endpoints the upstream needs for
	// that rule. Envoy: failure_percentage_minimum_hosts, 5.
	FailurePercentageMinimumEndpoints uint32
	// FailurePercentageRequestVolume is the traffic of one interval that the endpoint
	// needs for that rule. Envoy: failure_percentage_request_volume, 50.
	FailurePercentageRequestVolume uint32
	// EnforcingFailurePercentage. Envoy: enforcing_failure_percentage, 0.
	EnforcingFailurePercentage uint32
	// EnforcingFailurePercentageLocalOrigin. Envoy: enforcing_failure_percentage_local_origin, 0.
	EnforcingFailurePercentageLocalOrigin uint32

	// SuccessfulActiveHealthCheckUnejectsEndpoint lets a passing health check end an
	// ejection early. Envoy: successful_active_health_check_uneject_host, true.
	SuccessfulActiveHealthCheckUnejectsEndpoint bool
	// DetectDegradedEndpoints marks endpoints that answer with x-envoy-degraded, which
	// are then used last but not ejected. Envoy: detect_degraded_hosts, false.
	DetectDegradedEndpoints bool
}
