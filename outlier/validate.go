package outlier

import (
	"fmt"
	"time"
)

// Limits on what a configuration may ask for. They are far beyond use and keep
// arithmetic on counts and durations from overflowing.
const (
	MaxCount    = 1_000_000
	MaxDuration = 24 * time.Hour
	// MinDuration is the resolution of Envoy's timers.
	MinDuration = time.Millisecond
)

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

// Problem is one thing wrong with a [Config]. Field is the policy's name for the
// field, such as "baseEjectionTime".
type Problem struct {
	Field, Want, Rule string
}

// Validate returns everything that is wrong with c; nothing when it can be used.
func (c Config) Validate() []Problem {
	ps := append(c.validateCounts(), c.validatePercents()...)
	if c.Scope != Node && c.Scope != Mesh {
		ps = append(ps, Problem{"scope", "Node or Mesh", "out-of-range"})
	}
	duration := func(field string, d, low time.Duration) {
		if d < low || d > MaxDuration {
			ps = append(ps, Problem{field, fmt.Sprintf("a duration from %s to 24h", low), "out-of-range"})
		}
	}
	// Envoy's own validation wants interval, base_ejection_time and
	// max_ejection_time above 0.
	duration("interval", c.Interval, MinDuration)
	duration("baseEjectionTime", c.BaseEjectionTime, MinDuration)
	duration("maxEjectionTime", c.MaxEjectionTime, MinDuration)
	duration("maxEjectionTimeJitter", c.MaxEjectionTimeJitter, 0)
	if c.MaxEjectionTime < c.BaseEjectionTime {
		ps = append(ps, Problem{"maxEjectionTime", fmt.Sprintf("at least baseEjectionTime (%s)", c.BaseEjectionTime), "contradiction"})
	}
	if !c.ejects() {
		ps = append(ps, Problem{"", "a configuration with at least one rule that ejects", "no-ejection-rule"})
	}
	return ps
}

func (c Config) validateCounts() []Problem {
	var ps []Problem
	count := func(field string, v, low uint32) {
		if v < low || v > MaxCount {
			ps = append(ps, Problem{field, fmt.Sprintf("a number from %d to %d", low, MaxCount), "out-of-range"})
		}
	}
	count("consecutive5xxErrors", c.Consecutive5xxErrors, 0)
	count("consecutiveGatewayErrors", c.ConsecutiveGatewayErrors, 0)
	count("consecutiveLocalOriginFailures", c.ConsecutiveLocalOriginFailures, 0)
	count("successRateMinimumEndpoints", c.SuccessRateMinimumEndpoints, 0)
	count("successRateRequestVolume", c.SuccessRateRequestVolume, 0)
	count("successRateStdevFactor", c.SuccessRateStdevFactor, 0)
	count("failurePercentageMinimumEndpoints", c.FailurePercentageMinimumEndpoints, 0)
	count("failurePercentageRequestVolume", c.FailurePercentageRequestVolume, 0)
	return ps
}

func (c Config) validatePercents() []Problem {
	var ps []Problem
	percent := func(field string, v uint32) {
		if v > 100 {
			ps = append(ps, Problem{field, "a share from 0% to 100%", "out-of-range"})
		}
	}
	percent("enforcingConsecutive5xxErrors", c.EnforcingConsecutive5xxErrors)
	percent("enforcingConsecutiveGatewayErrors", c.EnforcingConsecutiveGatewayErrors)
	percent("enforcingConsecutiveLocalOriginFailures", c.EnforcingConsecutiveLocalOriginFailures)
	percent("enforcingLocalOriginSuccessRate", c.EnforcingLocalOriginSuccessRate)
	percent("maxEjectionPercent", c.MaxEjectionPercent)
	percent("enforcingSuccessRate", c.EnforcingSuccessRate)
	percent("failurePercentageThreshold", c.FailurePercentageThreshold)
	percent("enforcingFailurePercentage", c.EnforcingFailurePercentage)
	percent("enforcingFailurePercentageLocalOrigin", c.EnforcingFailurePercentageLocalOrigin)
	return ps
}

// ejects tells whether any rule can eject anything.
func (c Config) ejects() bool {
	for r := range ruleCount {
		if c.on(r) {
			return true
		}
	}
	return false
}

// MaxEjected is how many of n endpoints may be out at once: MaxEjectionPercent of
// them, rounded down, but one where AlwaysEjectOneEndpoint is on.
func (c Config) MaxEjected(n int) int {
	most := int(int64(n) * int64(c.MaxEjectionPercent) / 100)
	if most == 0 && c.AlwaysEjectOneEndpoint && n > 0 {
		return 1
	}
	return most
}
