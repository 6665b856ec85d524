package breaker

import "time"

// Config is when a breaker trips and how it recovers. Every field is in force as it
// is written here: no field is "unset", and 0 has the meaning that the field gives it.
// Configs are compared with ==; two that are equal mean the same breaker. [Fields]
// lists the fields with their names in a policy, their bounds and their defaults.
type Config struct {
	// Mode says what becomes of the breaker's decisions.
	Mode Mode
	// ConsecutiveFailures trips the breaker after this many failures with no
	// success between them. 0 turns this rule off.
	ConsecutiveFailures uint32
	// WindowSize, above 0, makes the window count-based: the rates look at this many
	// of the last calls, and WindowDuration is out of force.
	WindowSize uint32
	// WindowDuration is how far back the rates look when the window is time-based.
	// The window has ten parts, so it covers between nine tenths and all of this.
	WindowDuration time.Duration
	// MinimumNumberOfCalls is how many calls the window needs before its rates count.
	MinimumNumberOfCalls uint32
	// FailureRateThreshold trips the breaker when at least this share of the calls in
	// the window failed. 0 turns this rule off.
	FailureRateThreshold Ratio
	// SlowCallDurationThreshold makes a call slow that takes this long, or longer. A
	// call in flight counts as slow when it has passed the threshold: with a permit at
	// most an eighth of the threshold later, and else when it is reported as running.
	// 0: no call is slow.
	SlowCallDurationThreshold time.Duration
	// SlowCallRateThreshold trips the breaker when at least this share of the calls in
	// the window was slow. 0 turns this rule off.
	SlowCallRateThreshold Ratio
	// WaitDurationInOpenState is how long an open breaker rejects before it probes.
	WaitDurationInOpenState time.Duration
	// BackoffMultiplier makes the wait longer each time the breaker opens again: the
	// wait is multiplied once for each earlier opening that the breaker remembers. A
	// closed breaker forgets one opening after it has been closed for as long as the
	// wait that this opening caused. An opening after a half-open in which the service
	// was not asked is not counted. 100, which is 1x, never makes the wait longer.
	BackoffMultiplier Hundredths
	// BackoffMax bounds the wait that grows. It never shortens WaitDurationInOpenState.
	BackoffMax time.Duration
	// BackoffJitter spreads each wait evenly over this share of it to either side.
	BackoffJitter Ratio
	// PermittedNumberOfCallsInHalfOpenState is how many probes may be in flight at once.
	PermittedNumberOfCallsInHalfOpenState uint32
	// SuccessThreshold is how many probes have to succeed before the breaker closes.
	SuccessThreshold uint32
	// MaxWaitDurationInHalfOpenState bounds half-open: a breaker that has neither
	// closed nor opened by then opens again.
	MaxWaitDurationInHalfOpenState time.Duration
	// RampDuration is for how long a breaker that its probes have closed admits only a
	// share of the calls. The share grows evenly from 10 % to all. 0: all at once.
	RampDuration time.Duration
}

// Trips reports whether any rule can trip the breaker.
func (c Config) Trips() bool {
	return c.ConsecutiveFailures > 0 || c.FailureRateThreshold > 0 || c.TripsOnSlowCalls()
}

// TripsOnSlowCalls reports whether slow calls can trip the breaker.
func (c Config) TripsOnSlowCalls() bool {
	return c.SlowCallDurationThreshold > 0 && c.SlowCallRateThreshold > 0
}
