package outlier

import (
	"fmt"
	"time"
)

// Scope says who judges the endpoints of an upstream.
type Scope string

// The scopes.
const (
	// Node leaves the judgement to each proxy, by what that proxy alone has seen. This
	// is Envoy's own detection.
	Node Scope = "Node"
	// Mesh judges by what all proxies have seen, and ejects for all of them.
	Mesh Scope = "Mesh"
)

// Percent is a share in whole percent, from 0 to 100, as Envoy has it.
type Percent uint32

// String prints the share as policies write it: "50%".
func (p Percent) String() string { return fmt.Sprintf("%d%%", uint32(p)) }

// Config is Envoy's OutlierDetection (envoy/config/cluster/v3/outlier_detection.proto,
// as of Envoy 1.40) with every field resolved. The comment of each field names
// Envoy's field and its default. [Fields] lists the fields with their names in a
// policy.
//
// An Enforcing field is the chance that an endpoint which its rule has found is
// really ejected: at 0 % the rule only counts, at 100 % it always ejects.
type Config struct {
	// Scope says who judges. It has no field in Envoy.
	Scope Scope

	// Consecutive5xxErrors ejects after this many responses 5xx (for TCP: failed
	// connections) in a row. 0 turns the rule off. Envoy: consecutive_5xx, 5.
	Consecutive5xxErrors uint32
	// EnforcingConsecutive5xxErrors. Envoy: enforcing_consecutive_5xx, 100.
	EnforcingConsecutive5xxErrors Percent
	// ConsecutiveGatewayErrors ejects after this many responses 502, 503 or 504 in a
	// row. 0 turns the rule off. Envoy: consecutive_gateway_failure, 5.
	ConsecutiveGatewayErrors uint32
	// EnforcingConsecutiveGatewayErrors. Envoy: enforcing_consecutive_gateway_failure, 0.
	EnforcingConsecutiveGatewayErrors Percent

	// SplitExternalLocalOriginErrors judges errors that the proxy itself saw
	// (connect failure, timeout, reset) apart from errors that the endpoint answered.
	// The three LocalOrigin rules count only with it. Envoy: split_external_local_origin_errors, false.
	SplitExternalLocalOriginErrors bool
	// ConsecutiveLocalOriginFailures ejects after this many errors in a row that the
	// proxy itself saw. 0 turns the rule off. Envoy: consecutive_local_origin_failure, 5.
	ConsecutiveLocalOriginFailures uint32
	// EnforcingConsecutiveLocalOriginFailures. Envoy: enforcing_consecutive_local_origin_failure, 100.
	EnforcingConsecutiveLocalOriginFailures Percent
	// EnforcingLocalOriginSuccessRate. Envoy: enforcing_local_origin_success_rate, 100.
	EnforcingLocalOriginSuccessRate Percent

	// Interval is the time between two sweeps, which eject by statistics and bring
	// endpoints back. Envoy: interval, 10s.
	Interval time.Duration
	// BaseEjectionTime is multiplied by how often the endpoint has been ejected.
	// Envoy: base_ejection_time, 30s.
	BaseEjectionTime time.Duration
	// MaxEjectionTime bounds that product. Envoy: max_ejection_time, the larger of
	// 300s and BaseEjectionTime.
	MaxEjectionTime time.Duration
	// MaxEjectionTimeJitter is the most that is added at random, so that endpoints do
	// not all return at once. Envoy: max_ejection_time_jitter, 0s.
	MaxEjectionTimeJitter time.Duration
	// MaxEjectionPercent is how many of the endpoints may be out at once. It rounds
	// down: 10 % of 9 endpoints is none (envoyproxy/envoy issues 26877, 27066).
	// Envoy: max_ejection_percent, 10.
	MaxEjectionPercent Percent
	// AlwaysEjectOneEndpoint allows one ejection whatever MaxEjectionPercent says.
	// Envoy: always_eject_one_host, false.
	AlwaysEjectOneEndpoint bool

	// SuccessRateMinimumEndpoints is how many endpoints need enough traffic before
	// success rates are compared. Envoy: success_rate_minimum_hosts, 5.
	SuccessRateMinimumEndpoints uint32
	// SuccessRateRequestVolume is the traffic of one interval that makes an
	// endpoint's success rate count. Envoy: success_rate_request_volume, 100.
	SuccessRateRequestVolume uint32
	// SuccessRateStdevFactor, in thousandths, says where ejection begins: this many
	// standard deviations below the mean. Envoy: success_rate_stdev_factor, 1900.
	SuccessRateStdevFactor uint32
	// EnforcingSuccessRate. Envoy: enforcing_success_rate, 100.
	EnforcingSuccessRate Percent

	// FailurePercentageThreshold ejects an endpoint whose share of failures in an
	// interval is at least this. Envoy: failure_percentage_threshold, 85.
	FailurePercentageThreshold Percent
	// FailurePercentageMinimumEndpoints is how many endpoints the upstream needs for
	// that rule. Envoy: failure_percentage_minimum_hosts, 5.
	FailurePercentageMinimumEndpoints uint32
	// FailurePercentageRequestVolume is the traffic of one interval that the endpoint
	// needs for that rule. Envoy: failure_percentage_request_volume, 50.
	FailurePercentageRequestVolume uint32
	// EnforcingFailurePercentage. Envoy: enforcing_failure_percentage, 0.
	EnforcingFailurePercentage Percent
	// EnforcingFailurePercentageLocalOrigin. Envoy: enforcing_failure_percentage_local_origin, 0.
	EnforcingFailurePercentageLocalOrigin Percent

	// SuccessfulActiveHealthCheckUnejectsEndpoint lets a passing health check end an
	// ejection early. Envoy: successful_active_health_check_uneject_host, true.
	SuccessfulActiveHealthCheckUnejectsEndpoint bool
	// DetectDegradedEndpoints marks endpoints that answer with x-envoy-degraded, which
	// are then used last but not ejected. Envoy: detect_degraded_hosts, false.
	DetectDegradedEndpoints bool
}

// DefaultConfig returns what Envoy does with an empty outlier_detection.
func DefaultConfig() Config {
	return Config{
		Scope:                                       Node,
		Consecutive5xxErrors:                        5,
		EnforcingConsecutive5xxErrors:               100,
		ConsecutiveGatewayErrors:                    5,
		ConsecutiveLocalOriginFailures:              5,
		EnforcingConsecutiveLocalOriginFailures:     100,
		EnforcingLocalOriginSuccessRate:             100,
		Interval:                                    10 * time.Second,
		BaseEjectionTime:                            30 * time.Second,
		MaxEjectionTime:                             300 * time.Second,
		MaxEjectionPercent:                          10,
		SuccessRateMinimumEndpoints:                 5,
		SuccessRateRequestVolume:                    100,
		SuccessRateStdevFactor:                      1900,
		EnforcingSuccessRate:                        100,
		FailurePercentageThreshold:                  85,
		FailurePercentageMinimumEndpoints:           5,
		FailurePercentageRequestVolume:              50,
		SuccessfulActiveHealthCheckUnejectsEndpoint: true,
	}
}

// MaxEjected returns how many of n endpoints may be out at once: MaxEjectionPercent of
// them, rounded down, but at least one where AlwaysEjectOneEndpoint is on.
func (c Config) MaxEjected(n int) int {
	most := int(int64(n) * int64(c.MaxEjectionPercent) / 100)
	if most == 0 && c.AlwaysEjectOneEndpoint && n > 0 {
		return 1
	}
	return most
}
