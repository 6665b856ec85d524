package outlier

import (
	"net/netip"
	"time"
)

// Rule is a rule of Envoy's outlier detection, which finds endpoints to eject.
type Rule uint8

// The rules. The rules with LocalOrigin in their name are on only where the Config splits
// errors by their origin.
const (
	Consecutive5xxErrors Rule = iota
	ConsecutiveGatewayErrors
	ConsecutiveLocalOriginFailures
	SuccessRate
	LocalOriginSuccessRate
	FailurePercentage
	LocalOriginFailurePercentage

	ruleCount = LocalOriginFailurePercentage + 1
)

// String returns the rule's name as logs and metrics have it.
func (r Rule) String() string {
	return [...]string{"consecutive_5xx_errors", "consecutive_gateway_errors", "consecutive_local_origin_failures",
		"success_rate", "local_origin_success_rate", "failure_percentage", "local_origin_failure_percentage"}[r]
}

// enforcing returns the chance that an endpoint which the rule has found is ejected.
func (c *Config) enforcing(r Rule) Percent {
	return [...]Percent{c.EnforcingConsecutive5xxErrors, c.EnforcingConsecutiveGatewayErrors,
		c.EnforcingConsecutiveLocalOriginFailures, c.EnforcingSuccessRate, c.EnforcingLocalOriginSuccessRate,
		c.EnforcingFailurePercentage, c.EnforcingFailurePercentageLocalOrigin}[r]
}

// on reports whether a rule can eject an endpoint.
func (c *Config) on(r Rule) bool {
	local := r == ConsecutiveLocalOriginFailures || r == LocalOriginSuccessRate || r == LocalOriginFailurePercentage
	switch {
	case c.enforcing(r) == 0, local && !c.SplitExternalLocalOriginErrors:
		return false
	case r <= ConsecutiveLocalOriginFailures:
		return c.threshold(r) > 0
	}
	return true
}

// threshold returns how many errors in a row a rule needs; 0: it is off.
func (c *Config) threshold(r Rule) uint32 {
	return [...]uint32{c.Consecutive5xxErrors, c.ConsecutiveGatewayErrors, c.ConsecutiveLocalOriginFailures}[r]
}

// Event is something that happened to an endpoint. Fields that say "Ejected" or "Detected"
// are meaningful for events of that kind only.
type Event struct {
	Upstream string
	Endpoint netip.AddrPort
	Kind     Kind
	Rule     Rule          // Ejected, Detected: the rule that found the endpoint
	At       Instant       // when it happened
	For      time.Duration // Ejected: how long it will be out, at least; it returns with a sweep
	Times    uint32        // Ejected: which ejection it is, of those that are not forgotten
	// Run, or Calls and Failures, are the figures by which the rule judged: errors in a
	// row, or the calls and failures of an interval.
	Run             uint32
	Calls, Failures uint64
}

// Kind is the kind of an [Event].
type Kind uint8

// The kinds.
const (
	Ejected  Kind = iota // it is out of rotation
	Detected             // a rule found it, but it stays: by the rule's chance, or since too many are out
	Returned             // it is back
)

// String returns the kind's name: "ejected", "detected" or "returned".
func (k Kind) String() string { return [...]string{"ejected", "detected", "returned"}[k] }
