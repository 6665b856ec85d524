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

// Defaults are the values of fields that no policy has.
type Defaults struct {
	Breaker breaker.Config
	Timeout time.Duration // for a call; 0: none
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
	e := environment{lookup: lookup}
	e.count("FAILURE_THRESHOLD", &d.Breaker.ConsecutiveFailures, 0)
	e.seconds("RECOVERY_TIMEOUT_SECONDS", &d.Breaker.WaitDurationInOpenState, time.Millisecond)
	e.seconds("TIMEOUT_SECONDS", &d.Timeout, 0)
	e.count("SUCCESS_THRESHOLD", &d.Breaker.SuccessThreshold, 1)
	return d, e.problems.sorted(false)
}

// environment reads environment variables, and collects what is wrong with them.
type environment struct {
	lookup   func(string) (string, bool)
	problems Diagnostics
}

// count reads a number, if the variable is set.
func (e *environment) count(name string, dst *uint32, low uint64) {
	e.read(name, fmt.Sprintf("a number from %d to %d", low, breaker.MaxCount), "bad-number", func(text string) bool {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil || n < low || n > breaker.MaxCount {
			return false
		}
		*dst = uint32(n)
		return true
	})
}

// seconds reads a number of seconds, if the variable is set.
func (e *environment) seconds(name string, dst *time.Duration, low time.Duration) {
	want := fmt.Sprintf("a number of seconds from %g to %g", low.Seconds(), breaker.MaxDuration.Seconds())
	e.read(name, want, "bad-seconds", func(text string) bool {
		v, ok := yamlwalk.ParseSeconds(text)
		if !ok || v < low || v > breaker.MaxDuration {
			return false
		}
		*dst = v
		return true
	})
}

// read reports a variable that is set and that parse does not accept.
func (e *environment) read(name, want, rule string, parse func(text string) bool) {
	name = "CIRCUIT_BREAKER_" + name
	if text, set := e.lookup(name); set && !parse(text) {
		e.problems = append(e.problems, Diagnostic{File: "environment", Path: name, Got: strconv.Quote(text), Want: want, Rule: rule})
	}
}

// validate returns the problems of defaults on which no policy could be built. The defaults of
// [DefaultsFromEnv] have none; a caller may have made others.
func (d Defaults) validate() Diagnostics {
	var problems Diagnostics
	wrong := func(path, got, want, rule string) {
		problems = append(problems, Diagnostic{File: "defaults", Path: path, Got: got, Want: want, Rule: rule})
	}
	for _, p := range d.Breaker.Validate() {
		wrong("breaker."+p.Field, "out of range", p.Want, p.Rule)
	}
	for _, p := range d.Outlier.Validate() {
		wrong("outlierDetection."+p.Field, "out of range", p.Want, p.Rule)
	}
	if d.Timeout < 0 || d.Timeout > breaker.MaxDuration {
		wrong("timeout", d.Timeout.String(), "a duration from 0s to 24h", "out-of-range")
	}
	for path, limits := range map[string]Limits{"connectionLimits": d.Limits.Default, "connectionLimits.high": d.Limits.High} {
		for _, p := range limits.halfClosed() {
			wrong(path+"."+p.field, "0", p.want, "half-closed")
		}
	}
	return problems.sorted(false)
}

// anyDuration is no limit: the engine that owns the field says what is allowed.
const anyDuration = time.Duration(math.MaxInt64)
