package breaker

import (
	"fmt"
	"time"
)

// Ratio is a share in basis points: 10,000 is 100 %. Whole numbers keep
// comparisons exact, so that 50 % of 10 calls is 5 failures and never 4.999.
type Ratio uint32

// Whole is a ratio of 100 %.
const Whole Ratio = 10_000

// Reached tells whether part out of total is at least r. Nothing out of nothing
// reaches no ratio.
func (r Ratio) Reached(part, total uint64) bool {
	return total > 0 && part*uint64(Whole) >= uint64(r)*total
}

// String prints the ratio as a percentage, as policies write it.
func (r Ratio) String() string {
	switch {
	case r%100 == 0:
		return fmt.Sprintf("%d%%", r/100)
	case r%10 == 0:
		return fmt.Sprintf("%d.%d%%", r/100, r/10%10)
	default:
		return fmt.Sprintf("%d.%02d%%", r/100, r%100)
	}
}

// Config is when a breaker trips and how it recovers. All fields are in force
// as they stand: there is no "unset", and 0 has the meaning given here.
type Config struct {
	// ConsecutiveFailures trips the breaker after so many failures with no
	// success between them. 0 turns this rule off.
	ConsecutiveFailures uint32
	// WindowDuration is how far back the failure rate looks. The window is kept
	// in ten parts, so it covers between nine tenths and all of this.
	WindowDuration time.Duration
	// MinimumNumberOfCalls is how many calls the window needs before its rates count.
	MinimumNumberOfCalls uint32
	// FailureRateThreshold trips the breaker when failures reach this share of
	// the calls in the window (at least, not more than). 0 turns this rule off.
	FailureRateThreshold Ratio
	// WaitDurationInOpenState is how long an open breaker rejects before it probes.
	WaitDurationInOpenState time.Duration
	// PermittedNumberOfCallsInHalfOpenState is how many probes may be in flight at once.
	PermittedNumberOfCallsInHalfOpenState uint32
	// SuccessThreshold is how many probes have to succeed before the breaker closes.
	SuccessThreshold uint32
	// MaxWaitDurationInHalfOpenState bounds half-open: a breaker that has neither
	// closed nor opened after it opens again.
	MaxWaitDurationInHalfOpenState time.Duration
}

// DefaultConfig returns the values that hold where a policy says nothing.
func DefaultConfig() Config {
	return Config{
		ConsecutiveFailures:                   5,
		WindowDuration:                        10 * time.Second,
		MinimumNumberOfCalls:                  10,
		FailureRateThreshold:                  5_000,
		WaitDurationInOpenState:               30 * time.Second,
		PermittedNumberOfCallsInHalfOpenState: 3,
		SuccessThreshold:                      3,
		MaxWaitDurationInHalfOpenState:        60 * time.Second,
	}
}

// Problem is one thing wrong with a [Config]. Field is the policy's name for the
// field, such as "waitDurationInOpenState".
type Problem struct {
	Field, Want, Rule string
}

// Limits on what a configuration may ask for. They are far beyond use and keep
// arithmetic on counts and durations from overflowing.
const (
	MaxCount    = 1_000_000
	MaxDuration = 24 * time.Hour
	MinWindow   = 100 * time.Millisecond
)

// Validate returns everything that is wrong with c; nothing when it can be used.
func (c Config) Validate() []Problem {
	var ps []Problem
	count := func(field string, v, low uint32) {
		if v < low || v > MaxCount {
			ps = append(ps, Problem{field, fmt.Sprintf("a number from %d to %d", low, MaxCount), "out-of-range"})
		}
	}
	duration := func(field string, d, low time.Duration) {
		if d < low || d > MaxDuration {
			ps = append(ps, Problem{field, fmt.Sprintf("a duration from %s to 24h", low), "out-of-range"})
		}
	}
	count("consecutiveFailures", c.ConsecutiveFailures, 0)
	duration("slidingWindow.duration", c.WindowDuration, MinWindow)
	count("minimumNumberOfCalls", c.MinimumNumberOfCalls, 1)
	if c.FailureRateThreshold > Whole {
		ps = append(ps, Problem{"failureRateThreshold", "a share from 0% to 100%", "out-of-range"})
	}
	duration("waitDurationInOpenState", c.WaitDurationInOpenState, time.Millisecond)
	count("permittedNumberOfCallsInHalfOpenState", c.PermittedNumberOfCallsInHalfOpenState, 1)
	count("successThreshold", c.SuccessThreshold, 1)
	duration("maxWaitDurationInHalfOpenState", c.MaxWaitDurationInHalfOpenState, time.Millisecond)
	return ps
}
