package breaker

import (
	"cmp"
	"time"
)

// Reason is why a breaker changed its state.
type Reason uint8

// The reasons.
const (
	ConsecutiveFailures Reason = iota // the failures in a row reached their threshold
	FailureRate                       // the failure rate reached its threshold
	SlowCallRate                      // the rate of slow calls reached its threshold
	WaitOver                          // the wait in the open state is over
	ProbeFailed                       // a probe failed
	ProbesSucceeded                   // enough probes succeeded
	HalfOpenExpired                   // half-open lasted as long as it may
	PolicyChanged                     // the breaker has new semantics and starts again
	PolicyForced                      // the policy's mode is ForcedOpen
	Forced                            // an operator forced the state
	ForceExpired                      // the state that an operator forced has reached its end
	Reset                             // an operator reset the breaker
	Restored                          // this process has begun, and goes on with a saved state
)

// String returns the reason's name as logs and metrics have it.
func (r Reason) String() string {
	return [...]string{"consecutive_failures", "failure_rate", "slow_call_rate", "wait_over", "probe_failed",
		"probes_succeeded", "half_open_expired", "policy_changed", "policy_forced", "forced", "force_expired",
		"reset", "restored"}[r]
}

// ByRule reports whether the breaker's own rules are the reason, rather than an
// operator, a policy or a restart.
func (r Reason) ByRule() bool { return r <= HalfOpenExpired }

// Edge is a change of state with its reason. From and To are equal where the state
// stays and only its cause changes: the rules, an operator or a restart.
type Edge struct {
	From, To State
	Reason   Reason
}

// Edges returns every edge that can happen, so that a counter can be initialised for
// each.
func Edges() []Edge {
	edges := []Edge{
		{Closed, Open, ConsecutiveFailures},
		{Closed, Open, FailureRate},
		{Closed, Open, SlowCallRate},
		{Open, HalfOpen, WaitOver},
		{HalfOpen, Open, ProbeFailed},
		{HalfOpen, Open, HalfOpenExpired},
		{HalfOpen, Open, SlowCallRate},
		{HalfOpen, Closed, ProbesSucceeded},
		{HalfOpen, Closed, PolicyChanged},
		{Open, Closed, PolicyChanged},
		{Open, HalfOpen, ForceExpired},
		{Closed, Closed, ForceExpired},
		{Open, Closed, ForceExpired},
	}
	for _, from := range []State{Closed, HalfOpen, Open} {
		edges = append(edges,
			Edge{from, Open, PolicyForced}, Edge{from, Open, Forced}, Edge{from, Closed, Forced}, Edge{from, Closed, Reset})
	}
	return append(edges, Edge{Closed, Open, Restored}, Edge{Closed, Closed, Restored},
		Edge{Open, Open, Restored}, Edge{Open, Closed, Restored})
}

// WindowCounts are the figures by which a breaker judges. While it is half-open they
// are about its probes.
type WindowCounts struct {
	// Calls are the calls in the window that count: successes, failures, abandoned calls
	// that were slow, and calls in flight that are slow already.
	Calls    uint64
	Failures uint64 // among Calls
	Slow     uint64 // among Calls
	Run      uint32 // failures since the last success
}

// Transition is one change of state.
type Transition struct {
	Key        Key
	Edge       Edge
	Mode       Mode          // the policy's, after the change; see [Transition.EffectiveMode]
	Sequence   uint64        // counts the transitions of this breaker from 1, without gaps
	Generation uint64        // the breaker's generation after the change
	At         Instant       // when the state changed
	Since      Instant       // when the state that ended had begun
	Window     WindowCounts  // the figures before the window was cleared
	Wait       time.Duration // how long an open state that a rule began will last; 0 for any other change
	Openings   uint32        // which opening in a row this is, from 1, where a rule opened the breaker; see [Config.BackoffMultiplier]
	// By and Note say which operator forced or reset the state, and why; they are empty where
	// no operator did. Until is when a forced state ends that begins here; else it is 0.
	By, Note string
	Until    Instant
	// Cause is the transition that began the episode which this transition continues or
	// ends. It is nil where this transition begins the episode, where there is no episode,
	// and where the cause is not known.
	Cause *Transition
}

// Episode is a breaker's memory of its way from closed to closed: the way that it is on, or
// while it is closed the last one. It is never changed.
type Episode struct {
	// Cause is the transition that began the episode, by a rule, a policy or an operator.
	// Probes that fail, and restarts, do not replace it. It is nil where an earlier
	// version did not store it.
	Cause *Transition
	// Trip is the last transition into open by a rule, which may be part of an earlier
	// episode. nil: there was none.
	Trip *Transition
}

// merge returns what two breakers remember together: the cause that came first among
// the episodes that go on, or else the last cause; and the last trip.
func (e *Episode) merge(state State, o *Episode, other State) *Episode {
	if e == nil || o == nil {
		return cmp.Or(e, o)
	}
	m := *e
	switch x, y := e.Cause, o.Cause; {
	case y == nil:
	case x == nil || state == Closed && (other != Closed || y.At > x.At) || state != Closed && other != Closed && y.At < x.At:
		m.Cause = y
	}
	if m.Trip == nil || o.Trip != nil && o.Trip.At > m.Trip.At {
		m.Trip = o.Trip
	}
	return &m
}

// Override is a state that an operator has forced on a breaker. Until it ends, all
// timers and rules of the breaker rest.
type Override struct {
	State State  // Open: no call is admitted. Closed: all calls are.
	By    string // the operator
	Note  string // the operator's reason
	Until Instant
}
