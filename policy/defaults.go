package policy

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/outlier"
	"breakwater.dev/policy/internal/yamlwalk"
)

// Defaults are what holds where no policy says anything.
type Defaults struct {
	Breaker breaker.Config
	Timeout time.Duration // of a call; 0: none
	Limits  ConnectionLimits
	Outlier outlier.Config // for upstreams whose policy asks for outlier detection
}

// BuiltinDefaults returns the defaults of an empty environment.
func BuiltinDefaults() Defaults {
	limits := Limits{
		MaxConnections:     1024,
		MaxPendingRequests: 1024,
		MaxRequests:        1024,
		MaxRetries:         3,
		RetryBudget:        &RetryBudget{Percent: 2_000, MinConcurrency: 3},
	}
	return Defaults{
		Breaker: breaker.DefaultConfig(),
		Timeout: 10 * time.Second,
		Limits:  ConnectionLimits{Default: limits, High: limits},
		Outlier: outlier.DefaultConfig(),
	}
}

// environment names the environment as the file of a diagnostic.
const environment = "environment"

// DefaultsFromEnv returns the defaults with what the environment replaces:
//
//	CIRCUIT_BREAKER_FAILURE_THRESHOLD         consecutiveFailures, a number
//	CIRCUIT_BREAKER_RECOVERY_TIMEOUT_SECONDS  waitDurationInOpenState, seconds
//	CIRCUIT_BREAKER_TIMEOUT_SECONDS           timeout, seconds; 0: none
//	CIRCUIT_BREAKER_SUCCESS_THRESHOLD         successThreshold, a number
//
// Seconds may have up to three decimals. A variable that is set and cannot be
// read, or is out of range, is a diagnostic of the file "environment", whose path
// is the variable; an empty variable cannot be read. lookup is [os.LookupEnv].
func DefaultsFromEnv(lookup func(string) (string, bool)) (Defaults, Diagnostics) {
	d := BuiltinDefaults()
	var ds Diagnostics
	read := func(name, want, rule string, parse func(string) bool) {
		if text, set := lookup(name); set && !parse(text) {
			ds.report(environment, yamlwalk.Problem{Path: name, Got: strconv.Quote(text), Want: want, Rule: rule})
		}
	}
	count := func(dst *uint32, low uint64) (string, string, func(string) bool) {
		return fmt.Sprintf("a number from %d to %d", low, breaker.MaxCount), "bad-number", func(s string) bool {
			n, err := strconv.ParseUint(s, 10, 32)
			if err != nil || n < low || n > breaker.MaxCount {
				return false
			}
			*dst = uint32(n)
			return true
		}
	}
	seconds := func(dst *time.Duration, low time.Duration) (string, string, func(string) bool) {
		want := fmt.Sprintf("a number of seconds from %g to %g", low.Seconds(), breaker.MaxDuration.Seconds())
		return want, "bad-seconds", func(s string) bool {
			v, ok := yamlwalk.ParseSeconds(s)
			if !ok || v < low || v > breaker.MaxDuration {
				return false
			}
			*dst = v
			return true
		}
	}
	variable := func(name string) func(want, rule string, parse func(string) bool) {
		return func(want, rule string, parse func(string) bool) { read("CIRCUIT_BREAKER_"+name, want, rule, parse) }
	}
	variable("FAILURE_THRESHOLD")(count(&d.Breaker.ConsecutiveFailures, 0))
	variable("RECOVERY_TIMEOUT_SECONDS")(seconds(&d.Breaker.WaitDurationInOpenState, time.Millisecond))
	variable("TIMEOUT_SECONDS")(seconds(&d.Timeout, 0))
	variable("SUCCESS_THRESHOLD")(count(&d.Breaker.SuccessThreshold, 1))
	return d, ds.sorted()
}

// validate reports defaults that no policy could be built on. Those of
// [DefaultsFromEnv] are fine; a caller may have made others.
func (d Defaults) validate(ds *Diagnostics) {
	const file = "defaults"
	for _, p := range d.Breaker.Validate() {
		ds.report(file, yamlwalk.Problem{Path: "breaker." + p.Field, Got: "out of range", Want: p.Want, Rule: p.Rule})
	}
	for _, p := range d.Outlier.Validate() {
		ds.report(file, yamlwalk.Problem{Path: "outlierDetection." + p.Field, Got: "out of range", Want: p.Want, Rule: p.Rule})
	}
	if d.Timeout < 0 || d.Timeout > breaker.MaxDuration {
		ds.report(file, yamlwalk.Problem{Path: "timeout", Got: d.Timeout.String(), Want: "a duration from 0s to 24h", Rule: "out-of-range"})
	}
}

// anyDuration bounds nothing: the engine that owns the field says what is allowed.
const anyDuration = time.Duration(math.MaxInt64)
