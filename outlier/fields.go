package outlier

import (
	"fmt"
	"slices"
	"time"
)

// Field is one field of a [Config]: its name in a policy and the values it may have.
type Field struct {
	// Path is the field's name in a policy, below "outlierDetection".
	Path string
	// Pointer returns a pointer to the field in c: a *uint32, a *[Percent], a
	// *time.Duration, a *bool or a *[Scope].
	Pointer func(c *Config) any
	// Low is the least value of a duration. Counts and shares begin at 0.
	Low time.Duration
}

// Limits on what a configuration may ask for. They are far beyond use and keep
// arithmetic on counts and durations from overflowing.
const (
	MaxCount    = 1_000_000
	MaxDuration = 24 * time.Hour
	// MinDuration is the resolution of Envoy's timers.
	MinDuration = time.Millisecond
)

// Fields returns all fields of a [Config], in its order. Code that reads, checks or
// lists configurations goes by them.
func Fields() []Field { return slices.Clone(fields) }

// Envoy's own validation wants interval, base_ejection_time and max_ejection_time above 0.
var fields = []Field{
	{Path: "scope", Pointer: func(c *Config) any { return &c.Scope }},
	{Path: "consecutive5xxErrors", Pointer: func(c *Config) any { return &c.Consecutive5xxErrors }},
	{Path: "enforcingConsecutive5xxErrors", Pointer: func(c *Config) any { return &c.EnforcingConsecutive5xxErrors }},
	{Path: "consecutiveGatewayErrors", Pointer: func(c *Config) any { return &c.ConsecutiveGatewayErrors }},
	{Path: "enforcingConsecutiveGatewayErrors", Pointer: func(c *Config) any { return &c.EnforcingConsecutiveGatewayErrors }},
	{Path: "splitExternalLocalOriginErrors", Pointer: func(c *Config) any { return &c.SplitExternalLocalOriginErrors }},
	{Path: "consecutiveLocalOriginFailures", Pointer: func(c *Config) any { return &c.ConsecutiveLocalOriginFailures }},
	{Path: "enforcingConsecutiveLocalOriginFailures", Pointer: func(c *Config) any { return &c.EnforcingConsecutiveLocalOriginFailures }},
	{Path: "enforcingLocalOriginSuccessRate", Pointer: func(c *Config) any { return &c.EnforcingLocalOriginSuccessRate }},
	{Path: "interval", Pointer: func(c *Config) any { return &c.Interval }, Low: MinDuration},
	{Path: "baseEjectionTime", Pointer: func(c *Config) any { return &c.BaseEjectionTime }, Low: MinDuration},
	{Path: "maxEjectionTime", Pointer: func(c *Config) any { return &c.MaxEjectionTime }, Low: MinDuration},
	{Path: "maxEjectionTimeJitter", Pointer: func(c *Config) any { return &c.MaxEjectionTimeJitter }},
	{Path: "maxEjectionPercent", Pointer: func(c *Config) any { return &c.MaxEjectionPercent }},
	{Path: "alwaysEjectOneEndpoint", Pointer: func(c *Config) any { return &c.AlwaysEjectOneEndpoint }},
	{Path: "successRateMinimumEndpoints", Pointer: func(c *Config) any { return &c.SuccessRateMinimumEndpoints }},
	{Path: "successRateRequestVolume", Pointer: func(c *Config) any { return &c.SuccessRateRequestVolume }},
	{Path: "successRateStdevFactor", Pointer: func(c *Config) any { return &c.SuccessRateStdevFactor }},
	{Path: "enforcingSuccessRate", Pointer: func(c *Config) any { return &c.EnforcingSuccessRate }},
	{Path: "failurePercentageThreshold", Pointer: func(c *Config) any { return &c.FailurePercentageThreshold }},
	{Path: "failurePercentageMinimumEndpoints", Pointer: func(c *Config) any { return &c.FailurePercentageMinimumEndpoints }},
	{Path: "failurePercentageRequestVolume", Pointer: func(c *Config) any { return &c.FailurePercentageRequestVolume }},
	{Path: "enforcingFailurePercentage", Pointer: func(c *Config) any { return &c.EnforcingFailurePercentage }},
	{Path: "enforcingFailurePercentageLocalOrigin", Pointer: func(c *Config) any { return &c.EnforcingFailurePercentageLocalOrigin }},
	{Path: "successfulActiveHealthCheckUnejectsEndpoint", Pointer: func(c *Config) any { return &c.SuccessfulActiveHealthCheckUnejectsEndpoint }},
	{Path: "detectDegradedEndpoints", Pointer: func(c *Config) any { return &c.DetectDegradedEndpoints }},
}

// wrong says which values the field may have, if it has another one in c, and else "".
func (f *Field) wrong(c *Config) string {
	switch p := f.Pointer(c).(type) {
	case *uint32:
		if *p > MaxCount {
			return fmt.Sprintf("a number from 0 to %d", MaxCount)
		}
	case *Percent:
		if *p > 100 {
			return "a share from 0% to 100%"
		}
	case *time.Duration:
		if *p < f.Low || *p > MaxDuration {
			return fmt.Sprintf("a duration from %s to 24h", f.Low)
		}
	case *Scope:
		if *p != Node && *p != Mesh {
			return "Node or Mesh"
		}
	}
	return ""
}

// Problem is one thing that is wrong with a [Config]. Field is the [Field.Path] of the
// field, or empty for the whole; Want says what it must be.
type Problem struct {
	Field, Want, Rule string
}

// Validate returns everything that is wrong with c, and nothing when c can be used.
func (c Config) Validate() []Problem {
	var ps []Problem
	for i := range fields {
		if want := fields[i].wrong(&c); want != "" {
			ps = append(ps, Problem{fields[i].Path, want, "out-of-range"})
		}
	}
	if c.MaxEjectionTime < c.BaseEjectionTime {
		ps = append(ps, Problem{"maxEjectionTime", fmt.Sprintf("at least baseEjectionTime (%s)", c.BaseEjectionTime), "contradiction"})
	}
	if !c.ejects() {
		ps = append(ps, Problem{"", "a configuration with at least one rule that ejects", "no-ejection-rule"})
	}
	return ps
}

// ejects reports whether any rule can eject an endpoint.
func (c Config) ejects() bool {
	for r := range ruleCount {
		if c.on(r) {
			return true
		}
	}
	return false
}
