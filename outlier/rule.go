package outlier

import (
	"net/netip"
	"time"
)

// Rule is why an endpoint is found to be worse than the others.
type Rule uint8

// The rules. Those of local origin are on where a Config splits errors by their origin.
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

// enforcing is the chance in percent that an endpoint found by the rule is ejected.
func (c *Config) enforcing(r Rule) Percent {
	return [...]Percent{c.EnforcingConsecutive5xxErrors, c.EnforcingConsecutiveGatewayErrors,
		c.EnforcingConsecutiveLocalOriginFailures, c.EnforcingSuccessRate, c.EnforcingLocalOriginSuccessRate,
		c.EnforcingFailurePercentage, c.EnforcingFailurePercentageLocalOrigin}[r]
}

// on tells whether a rule can eject anything.
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

// threshold is how many errors in a row a rule takes; 0: it is off.
func (c *Config) threshold(r Rule) uint32 {
	return [...]uint32{c.Consecutive5xxErrors, c.ConsecutiveGatewayErrors, c.ConsecutiveLocalOriginFailures}[r]
}

// Event is something that happened to an endpoint.
type Event struct {
	Upstream string
	Endpoint netip.AddrPort
	Kind     Kind
	Rule     Rule          // of [Ejected] and [Detected]
	At       Instant       // when
	For      time.Duration // Ejected: how long it will be out, at least; it comes back with a sweep
	Times    uint32        // Ejected: which ejection it is, of those that are not forgotten
	// Run, Calls and Failures are what the rule judged by: errors in a row, or calls and
	// failures of an interval.
	Run             uint32
	Calls, Failures uint64
}

// Kind is what happened.
type Kind uint8

// The kinds.
const (
	Ejected  Kind = iota // it is out of rotation
	Detected             // a rule found it, and it is not ejected: by chance, or too many are out
	Returned             // it is back
)

// String returns the kind's name: "ejected", "detected" or "returned".
func (k Kind) String() string { return [...]string{"ejected", "detected", "returned"}[k] }
