package breaker

import (
	"strings"
	"time"
)

// Key names a breaker: an upstream, or one route of it, and in a scope of nodes
// the proxy.
type Key struct {
	Upstream string
	Route    string // empty: everything of the upstream that no breaker of a route takes
	Node     string // empty: all proxies together
}

// String returns "upstream" or "upstream/route", with "@node" where there is one.
// Names of upstreams and routes hold neither slash nor at sign, so [ParseKey]
// finds all three again.
func (k Key) String() string {
	s := k.Upstream
	if k.Route != "" {
		s += "/" + k.Route
	}
	if k.Node != "" {
		s += "@" + k.Node
	}
	return s
}

// ParseKey reads what [Key.String] printed.
func ParseKey(s string) Key {
	s, node, _ := strings.Cut(s, "@")
	upstream, route, _ := strings.Cut(s, "/")
	return Key{Upstream: upstream, Route: route, Node: node}
}

// Spec is one breaker as a policy asks for it.
type Spec struct {
	Key    Key // without a node
	Config Config
	// Lease is how long a call may hold its permit. A permit that is not resolved
	// by then frees its slot in half-open. It is not part of the breaker's
	// semantics: changing it keeps the state.
	Lease time.Duration
	// Timeout is what [Do] gives a call; 0: as long as it takes. Not part of the
	// semantics either.
	Timeout time.Duration
	// ClientGone is what a call counts as whose caller left before there was an answer.
	// Not part of the semantics.
	ClientGone ClientGone
	// PerNode gives each proxy a breaker of its own; see [Engine.Node]. Changing it
	// starts the breaker anew.
	PerNode bool
}

// State is where a breaker stands.
type State uint8

// The states.
const (
	Closed   State = iota // calls are admitted
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
	Ignored         // says nothing about the upstream: a rejection of our own, a limit of the proxy
	// Abandoned is a call whose caller left before there was an answer. It counts as a slow call
	// if it had become slow by then, and is ignored if not. It is never a success.
	Abandoned
)

// String returns the outcome's name.
func (o Outcome) String() string {
	return [...]string{"success", "failure", "timeout", "ignored", "abandoned"}[o]
}

// Failed tells whether the outcome counts against the upstream.
func (o Outcome) Failed() bool { return o == Failure || o == Timeout }

// ClientGone is what a call counts as whose caller left, or had a deadline of its own that
// passed, before there was an answer.
type ClientGone uint8

// The kinds of ClientGone.
const (
	GoneSlow    ClientGone = iota // a slow call if it had become slow, else nothing
	GoneIgnored                   // nothing
	GoneFailure                   // a failure
)

// String returns the name that policies use: "Slow", "Ignored" or "Failure".
func (g ClientGone) String() string { return [...]string{"Slow", "Ignored", "Failure"}[g] }

// Outcome is the outcome of such a call.
func (g ClientGone) Outcome() Outcome { return [...]Outcome{Abandoned, Ignored, Failure}[g] }

// Reason is why a breaker changed its state.
type Reason uint8

// The reasons.
const (
	ConsecutiveFailures Reason = iota // the run of failures reached its threshold
	FailureRate                       // the failure rate reached its threshold
	SlowCallRate                      // the rate of slow calls reached its threshold
	WaitOver                          // the wait in the open state is over
	ProbeFailed                       // a probe failed
	ProbesSucceeded                   // enough probes succeeded
	HalfOpenExpired                   // half-open lasted as long as it may
	PolicyChanged                     // the breaker has new semantics and starts anew
	PolicyForced                      // the policy's mode is ForcedOpen
	Forced                            // somebody put it there by hand
	ForceExpired                      // what somebody did by hand is over
	Reset                             // somebody reset it by hand
	Restored                          // this process has begun, and takes up what was before
)

// String returns the reason's name as logs and metrics have it.
func (r Reason) String() string {
	return [...]string{"consecutive_failures", "failure_rate", "slow_call_rate", "wait_over", "probe_failed",
		"probes_succeeded", "half_open_expired", "policy_changed", "policy_forced", "forced", "force_expired",
		"reset", "restored"}[r]
}

// ByRule tells whether the breaker's own rules bring it about, rather than
// people, policies or restarts.
func (r Reason) ByRule() bool { return r <= HalfOpenExpired }

// Edge is one change of state that can happen, with its reason. From and To are
// the same where only who is in charge changes: the rules or a person.
type Edge struct {
	From, To State
	Reason   Reason
}

// Edges returns every change of state there is, so that a counter can be
// initialised for each.
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

// WindowCounts is what a breaker judges by.
type WindowCounts struct {
	Calls    uint64 // calls in the window that succeeded, failed, or were slow when they were abandoned, or are slow in flight
	Failures uint64 // of those, the failed
	Slow     uint64 // of those, the slow
	Run      uint32 // failures since the last success
}

// Transition is one change of state.
type Transition struct {
	Key        Key
	Edge       Edge
	Mode       Mode          // of the policy, after the change; see [Transition.EffectiveMode]
	Sequence   uint64        // of this breaker, from 1, without gaps
	Generation uint64        // the breaker's generation after the change
	At         Instant       // when
	Since      Instant       // when the state that ended had begun
	Window     WindowCounts  // what the breaker had seen, before the window was cleared
	Wait       time.Duration // into open by a rule: how long it will last; else 0
	Openings   uint32        // into open by a rule: which opening in a row, from 1; see Config.BackoffMultiplier
	// By and Note are who did it by hand, and why; Until is when that ends. They are
	// empty, and Until 0, when a rule did it.
	By, Note string
	Until    Instant
	// Cause is the transition that began the episode which this one is part of, or ends; nil
	// where this one begins it, there is none, or it is not known.
	Cause *Transition
}

// Episode is what is remembered of a breaker's way from closed to closed: of the present one,
// or while it is closed of the last one. It is never changed.
type Episode struct {
	// Cause is the transition that began it, by a rule, a policy or a person. Probes that
	// fail, and restarts, do not replace it. nil: an earlier version did not keep it.
	Cause *Transition
	// Trip is the last transition into open by a rule, which may be that of an earlier
	// episode; nil: there was none.
	Trip *Transition
}

// Override is a state that a person put a breaker in. It stops all timers and
// rules of the breaker until it ends.
type Override struct {
	State State  // Open: no call is admitted. Closed: all are.
	By    string // who
	Note  string // why
	Until Instant
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
// A report that corrects an outcome takes it out of its total again, so successes and
// ignored calls can become fewer; see [Status.SuccessLag].
type Counts struct {
	Requests      uint64 // calls that asked for a permit, or were reported
	Rejected      uint64 // of those, the ones that got none
	WouldReject   uint64 // the ones that got a permit only because the mode is MetricsOnly
	Successes     uint64
	Failures      uint64 // timeouts among them
	Timeouts      uint64
	Slow          uint64 // calls that were slow, and succeeded, failed or were abandoned
	Ignored       uint64 // abandoned calls among them, also those that were slow
	LeasesExpired uint64 // half-open permits that were not resolved by their deadline
}

// Status is a breaker at one instant.
type Status struct {
	Key            Key
	Config         *Config // shared; must not be changed
	State          State
	Openings       uint32 // in a row that are not forgotten; they make the next wait longer
	Generation     uint64
	Sequence       uint64        // of the last transition; 0: there was none
	Since          Instant       // when the state began
	RetryAfter     time.Duration // open: until the first probe, 0 where a person ended the timers; else 0
	Admits         Ratio         // closed: the share of calls that is admitted, below Whole in the ramp; else 0
	ProbesInFlight uint32
	InFlight       uint64 // calls that hold a permit, probes and those of earlier states among them
	Window         WindowCounts
	Counts         Counts
	// SuccessLag and IgnoredLag are how many successes and ignored calls were taken back that
	// later ones have not yet made up for. Counters that must never fall add them to Counts.
	SuccessLag, IgnoredLag uint32
	LastFailure            Instant // meaningful when Counts.Failures > 0
	// Override is what a person did to it; nil: nothing.
	Override *Override
	// Episode is the present one, or the last. nil: nothing is known of one. The breaker was always closed, or was reset, or an
	// earlier version did not keep it.
	Episode *Episode
	// Nodes is how many breakers of proxies are in this status, in a scope of nodes,
	// and OpenNodes how many of these are open.
	Nodes, OpenNodes uint32
}
