package breaker

import (
	"strings"
	"time"
)

// Key names a breaker: an upstream, or one route of it.
type Key struct {
	Upstream string
	Route    string // empty: everything of the upstream that no breaker of a route takes
}

// String returns "upstream" or "upstream/route". Names hold no slash, so
// [ParseKey] finds both again.
func (k Key) String() string {
	if k.Route == "" {
		return k.Upstream
	}
	return k.Upstream + "/" + k.Route
}

// ParseKey reads what [Key.String] printed.
func ParseKey(s string) Key {
	upstream, route, _ := strings.Cut(s, "/")
	return Key{Upstream: upstream, Route: route}
}

// Spec is one breaker as a policy asks for it.
type Spec struct {
	Key    Key
	Config Config
	// Lease is how long a call may hold its permit. A permit that is not resolved
	// by then frees its slot in half-open. It is not part of the breaker's
	// semantics: changing it keeps the state.
	Lease time.Duration
}

// State is where a breaker stands.
type State uint8

// The states.
const (
	Closed   State = iota // all calls are admitted
	HalfOpen              // a bounded number of probes is admitted
	Open                  // no call is admitted
)

// String returns the state's name: "closed", "half_open" or "open".
func (s State) String() string { return [...]string{"closed", "half_open", "open"}[s] }

// Outcome is what became of a call that held a permit.
type Outcome uint8

// The outcomes.
const (
	Success Outcome = iota
	Failure         // the upstream answered badly, or not at all
	Timeout         // a failure: the deadline passed
	Ignored         // says nothing about the upstream: a client that left, a rejection of our own
)

// String returns the outcome's name.
func (o Outcome) String() string { return [...]string{"success", "failure", "timeout", "ignored"}[o] }

// Failed tells whether the outcome counts against the upstream.
func (o Outcome) Failed() bool { return o == Failure || o == Timeout }

// Reason is why a breaker changed its state.
type Reason uint8

// The reasons.
const (
	ConsecutiveFailures Reason = iota // the run of failures reached its threshold
	FailureRate                       // the failure rate reached its threshold
	WaitOver                          // the wait in the open state is over
	ProbeFailed                       // a probe failed
	ProbesSucceeded                   // enough probes succeeded
	HalfOpenExpired                   // half-open lasted as long as it may
	PolicyChanged                     // the breaker has new semantics and starts anew
)

// String returns the reason's name as logs and metrics have it.
func (r Reason) String() string {
	return [...]string{"consecutive_failures", "failure_rate", "wait_over", "probe_failed",
		"probes_succeeded", "half_open_expired", "policy_changed"}[r]
}

// Edge is one change of state that can happen, with its reason.
type Edge struct {
	From, To State
	Reason   Reason
}

// Edges returns every change of state there is, so that a counter can be
// initialised for each.
func Edges() []Edge {
	return []Edge{
		{Closed, Open, ConsecutiveFailures},
		{Closed, Open, FailureRate},
		{Open, HalfOpen, WaitOver},
		{HalfOpen, Open, ProbeFailed},
		{HalfOpen, Open, HalfOpenExpired},
		{HalfOpen, Closed, ProbesSucceeded},
		{HalfOpen, Closed, PolicyChanged},
		{Open, Closed, PolicyChanged},
	}
}

// WindowCounts is what a breaker judges by.
type WindowCounts struct {
	Calls    uint64 // calls in the window that succeeded or failed
	Failures uint64 // of those, the failed
	Run      uint32 // failures since the last success
}

// Transition is one change of state.
type Transition struct {
	Key        Key
	Edge       Edge
	Sequence   uint64        // of this breaker, from 1, without gaps
	Generation uint64        // the breaker's generation after the change
	At         Instant       // when
	Since      Instant       // when the state that ended had begun
	Window     WindowCounts  // what the breaker had seen, before the window was cleared
	Wait       time.Duration // into open: how long it will last; else 0
}

// Decision is the answer to one call.
type Decision struct {
	Admitted bool
	// State is the state that decided.
	State State
	// RetryAfter is how long an open breaker will go on rejecting; 0 where that is not known.
	RetryAfter time.Duration
}

// Counts are totals since the breaker was made. Of one breaker,
// Requests = Rejected + Successes + Failures + Ignored + calls still in flight.
type Counts struct {
	Requests      uint64 // calls that asked for a permit
	Rejected      uint64 // of those, the ones that got none
	Successes     uint64
	Failures      uint64 // timeouts among them
	Timeouts      uint64
	Ignored       uint64
	LeasesExpired uint64 // half-open permits that were not resolved by their deadline
}

// Status is a breaker at one instant.
type Status struct {
	Key            Key
	Config         Config
	State          State
	Generation     uint64
	Since          Instant       // when the state began
	RetryAfter     time.Duration // open: until the first probe; else 0
	ProbesInFlight uint32
	Window         WindowCounts
	Counts         Counts
	LastFailure    Instant // meaningful when Counts.Failures > 0
}
