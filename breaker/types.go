package breaker

import (
	"strings"
	"time"
)

// Key names a breaker: an upstream, or one route of an upstream, and the proxy where
// each proxy has a breaker of its own.
type Key struct {
	Upstream string
	Route    string // empty: all calls to the upstream that no breaker of a route takes
	Node     string // empty: all proxies together
}

// String returns "upstream" or "upstream/route", followed by "@node" where there is a
// node. Names of upstreams and routes contain neither a slash nor an at sign, so
// [ParseKey] finds the three parts again.
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

// Spec is one breaker as a policy asks for it. A change of Config or PerNode starts the
// breaker again; a change of another field keeps its state.
type Spec struct {
	Key    Key // without a node
	Config Config
	// Lease is how long a call may hold its permit. A permit that is not resolved by
	// then frees its slot in half-open. It must be above 0.
	Lease time.Duration
	// Timeout bounds a call that [Do] makes. 0: no limit.
	Timeout time.Duration
	// ClientGone says what a call counts as whose caller left before there was an answer.
	ClientGone ClientGone
	// PerNode gives each proxy a breaker of its own; see [Engine.Node].
	PerNode bool
}

// State is the state of a breaker.
type State uint8

// The states.
const (
	Closed   State = iota // calls are admitted
	HalfOpen              // a bounded number of probes is admitted
	Open                  // no call is admitted
)

// String returns the state's name: "closed", "half_open" or "open".
func (s State) String() string { return [...]string{"closed", "half_open", "open"}[s] }

// Outcome is the result of a call that was admitted.
type Outcome uint8

// The outcomes.
const (
	Success Outcome = iota
	Failure         // the upstream answered badly, or not at all
	Timeout         // a failure: the deadline passed
	Ignored         // says nothing about the upstream, such as a rejection of our own or a limit of the proxy
	// Abandoned is a call whose caller left before there was an answer. It counts as a
	// slow call if it had become slow by then, and is ignored if not. It is never a success.
	Abandoned
)

// String returns the outcome's name.
func (o Outcome) String() string {
	return [...]string{"success", "failure", "timeout", "ignored", "abandoned"}[o]
}

// Failed reports whether the outcome counts against the upstream.
func (o Outcome) Failed() bool { return o == Failure || o == Timeout }

// ClientGone says what a call counts as whose caller left before there was an answer,
// or whose caller had a deadline of its own that passed.
type ClientGone uint8

// The kinds of ClientGone.
const (
	GoneSlow    ClientGone = iota // a slow call if it had become slow, and else ignored
	GoneIgnored                   // always ignored
	GoneFailure                   // a failure
)

// String returns the name that policies use: "Slow", "Ignored" or "Failure".
func (g ClientGone) String() string { return [...]string{"Slow", "Ignored", "Failure"}[g] }

// Outcome returns the outcome of a call whose caller left.
func (g ClientGone) Outcome() Outcome { return [...]Outcome{Abandoned, Ignored, Failure}[g] }

// Decision is the answer to a call that asks for a permit.
type Decision struct {
	Admitted bool
	// State is the state in which the breaker decided.
	State State
	// RetryAfter is how long an open breaker will go on rejecting; 0 where that is not known.
	RetryAfter time.Duration
}
