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

// Mode is how far a breaker's judgement is heeded.
type Mode uint8

// The modes.
const (
	// Enforce rejects calls as the state says.
	Enforce Mode = iota
	// MetricsOnly admits every call, and counts those that it would have rejected.
	// State and transitions are those of a breaker that enforces.
	MetricsOnly
	// ForcedOpen admits no call, until the policy changes.
	ForcedOpen
	// Disabled admits every call and never trips.
	Disabled
)

// String returns the mode's name as policies write it.
func (m Mode) String() string {
	return [...]string{"Enforce", "MetricsOnly", "ForcedOpen", "Disabled"}[m]
}

// What a person can put in the place of a policy's mode, as [Status.EffectiveMode] names it.
const (
	ForcedOpenByHand   = "ForcedOpenByHand"
	ForcedClosedByHand = "ForcedClosedByHand"
)

// effective names what decides about calls. Where the policy's mode is Disabled no call asks
// the breaker, whatever people want.
func (m Mode) effective(byHand bool, s State) string {
	switch {
	case !byHand || m == Disabled:
		return m.String()
	case s == Open:
		return ForcedOpenByHand
	default:
		return ForcedClosedByHand
	}
}

// watched tells whether the state is only watched, and no call is rejected for it.
func (m Mode) watched(byHand bool) bool { return m == MetricsOnly && !byHand }

// rejects tells whether calls are rejected as the state says.
func (m Mode) rejects(byHand bool) bool { return m != Disabled && !m.watched(byHand) }

// EffectiveMode names what decides about the breaker's calls: the policy's mode, or
// [ForcedOpenByHand] or [ForcedClosedByHand].
func (s *Status) EffectiveMode() string {
	if o := s.Override; o != nil { // the state of all proxies together may be that of another breaker
		return s.Config.Mode.effective(true, o.State)
	}
	return s.Config.Mode.effective(false, s.State)
}

// Forced tells whether a person, or the policy's mode, holds the breaker in its state, so that
// neither rules nor timers decide.
func (s *Status) Forced() bool { return s.Override != nil || s.Config.Mode == ForcedOpen }

// Rejects tells whether calls are rejected as the state says: not where that is only watched.
func (s *Status) Rejects() bool { return s.Config.Mode.rejects(s.Override != nil) }

// EffectiveMode is [Status.EffectiveMode] after the transition.
func (t *Transition) EffectiveMode() string { return t.Mode.effective(t.Until != 0, t.Edge.To) }

// Rejects is [Status.Rejects] after the transition.
func (t *Transition) Rejects() bool { return t.Mode.rejects(t.Until != 0) }

// Config is when a breaker trips and how it recovers. All fields are in force
// as they stand: there is no "unset", and 0 has the meaning given here. Configs
// are compared with ==: equal ones mean the same breaker.
type Config struct {
	// Mode says whether anything is rejected at all.
	Mode Mode
	// ConsecutiveFailures trips the breaker after so many failures with no
	// success between them. 0 turns this rule off.
	ConsecutiveFailures uint32
	// WindowSize, above 0, makes the window count-based: the rates look at the last
	// so many calls, and WindowDuration means nothing.
	WindowSize uint32
	// WindowDuration is how far back the rates look when the window is time-based.
	// It is kept in ten parts, so it covers between nine tenths and all of this.
	WindowDuration time.Duration
	// MinimumNumberOfCalls is how many calls the window needs before its rates count.
	MinimumNumberOfCalls uint32
	// FailureRateThreshold trips the breaker when failures reach this share of
	// the calls in the window (at least, not more than). 0 turns this rule off.
	FailureRateThreshold Ratio
	// SlowCallDurationThreshold makes a call slow that takes so long, or longer. A
	// call in flight is slow as soon as it has passed it, by an eighth more at the
	// latest. 0: no call is slow.
	SlowCallDurationThreshold time.Duration
	// SlowCallRateThreshold trips the breaker when slow calls reach this share of
	// the calls in the window. 0 turns this rule off.
	SlowCallRateThreshold Ratio
	// WaitDurationInOpenState is how long an open breaker rejects before it probes.
	WaitDurationInOpenState time.Duration
	// BackoffMultiplier, in hundredths (100 is 1x), is by how much each further
	// opening makes the wait longer, as long as the one before is not forgotten. A
	// closed breaker forgets one after as long as the wait that it had caused. An opening
	// after a half-open in which the service was not asked is not counted.
	BackoffMultiplier uint32
	// BackoffMax bounds the wait that grows; it never shortens WaitDurationInOpenState.
	BackoffMax time.Duration
	// BackoffJitter spreads each wait evenly over this share of it to either side.
	BackoffJitter Ratio
	// PermittedNumberOfCallsInHalfOpenState is how many probes may be in flight at once.
	PermittedNumberOfCallsInHalfOpenState uint32
	// SuccessThreshold is how many probes have to succeed before the breaker closes.
	SuccessThreshold uint32
	// MaxWaitDurationInHalfOpenState bounds half-open: a breaker that has neither
	// closed nor opened after it opens again.
	MaxWaitDurationInHalfOpenState time.Duration
	// RampDuration is for how long after closing by its probes a breaker admits
	// only a share of the calls, which grows evenly from 10 % to all. 0: all at once.
	RampDuration time.Duration
}

// DefaultConfig returns the values that hold where a policy says nothing.
func DefaultConfig() Config {
	return Config{
		ConsecutiveFailures:                   5,
		WindowDuration:                        10 * time.Second,
		MinimumNumberOfCalls:                  10,
		FailureRateThreshold:                  5_000,
		SlowCallDurationThreshold:             2 * time.Second,
		SlowCallRateThreshold:                 Whole,
		WaitDurationInOpenState:               30 * time.Second,
		BackoffMultiplier:                     100,
		BackoffMax:                            5 * time.Minute,
		PermittedNumberOfCallsInHalfOpenState: 3,
		SuccessThreshold:                      3,
		MaxWaitDurationInHalfOpenState:        60 * time.Second,
	}
}

// Trips tells whether any rule can trip the breaker.
func (c Config) Trips() bool {
	return c.ConsecutiveFailures > 0 || c.FailureRateThreshold > 0 || c.TripsOnSlowCalls()
}

// TripsOnSlowCalls tells whether slow calls can.
func (c Config) TripsOnSlowCalls() bool {
	return c.SlowCallDurationThreshold > 0 && c.SlowCallRateThreshold > 0
}

// Problem is one thing wrong with a [Config]. Field is the policy's name for the
// field, such as "waitDurationInOpenState".
type Problem struct {
	Field, Want, Rule string
}

// Limits on what a configuration may ask for. They are far beyond use and keep
// arithmetic on counts and durations from overflowing.
const (
	MaxCount      = 1_000_000
	MaxWindowSize = 100_000
	MaxMultiplier = 100 * 100
	MaxDuration   = 24 * time.Hour
	MinWindow     = 100 * time.Millisecond
)

// Validate returns everything that is wrong with c; nothing when it can be used.
func (c Config) Validate() []Problem {
	var ps []Problem
	wrong := func(field, want string) { ps = append(ps, Problem{field, want, "out-of-range"}) }
	count := func(field string, v, low, high uint32) {
		if v < low || v > high {
			wrong(field, fmt.Sprintf("a number from %d to %d", low, high))
		}
	}
	duration := func(field string, d, low time.Duration) {
		if d < low || d > MaxDuration {
			wrong(field, fmt.Sprintf("a duration from %s to 24h", low))
		}
	}
	ratio := func(field string, r Ratio) {
		if r > Whole {
			wrong(field, "a share from 0% to 100%")
		}
	}
	if c.Mode > Disabled {
		wrong("mode", "Enforce, MetricsOnly, ForcedOpen or Disabled")
	}
	count("consecutiveFailures", c.ConsecutiveFailures, 0, MaxCount)
	if c.WindowSize > 0 {
		count("slidingWindow.size", c.WindowSize, 1, MaxWindowSize)
	} else {
		duration("slidingWindow.duration", c.WindowDuration, MinWindow)
	}
	count("minimumNumberOfCalls", c.MinimumNumberOfCalls, 1, MaxCount)
	ratio("failureRateThreshold", c.FailureRateThreshold)
	if c.SlowCallDurationThreshold != 0 {
		duration("slowCallDurationThreshold", c.SlowCallDurationThreshold, time.Millisecond)
	}
	ratio("slowCallRateThreshold", c.SlowCallRateThreshold)
	duration("waitDurationInOpenState", c.WaitDurationInOpenState, time.Millisecond)
	if c.BackoffMultiplier < 100 || c.BackoffMultiplier > MaxMultiplier {
		wrong("backoff.multiplier", "a number from 1 to 100")
	}
	duration("backoff.max", c.BackoffMax, time.Millisecond)
	ratio("backoff.jitter", c.BackoffJitter)
	count("permittedNumberOfCallsInHalfOpenState", c.PermittedNumberOfCallsInHalfOpenState, 1, MaxCount)
	count("successThreshold", c.SuccessThreshold, 1, MaxCount)
	duration("maxWaitDurationInHalfOpenState", c.MaxWaitDurationInHalfOpenState, time.Millisecond)
	duration("ramp.duration", c.RampDuration, 0)
	return ps
}
