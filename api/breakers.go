package api

import "time"

// State is where a breaker stands.
type State string

// The states.
const (
	Closed   State = "closed"    // calls are admitted
	HalfOpen State = "half_open" // only a few calls, the probes, are admitted
	Open     State = "open"      // calls are rejected
)

// States returns all states, from the best to the worst.
func States() []State { return []State{Closed, HalfOpen, Open} }

// Mode names the one that decides about the calls of a breaker: its rules, its policy or an operator.
type Mode string

// The modes. A policy has one of the first four. An operator puts one of the last two in their place by hand.
const (
	Enforce            Mode = "Enforce"     // the rules decide
	MetricsOnly        Mode = "MetricsOnly" // the rules change the state, and every call is admitted
	ForcedOpen         Mode = "ForcedOpen"  // every call is rejected
	Disabled           Mode = "Disabled"    // no call asks the breaker
	ForcedOpenByHand   Mode = "ForcedOpenByHand"
	ForcedClosedByHand Mode = "ForcedClosedByHand"
)

// Instance is the control plane that gave an answer. Where several control planes are no replicas of each other, each one
// knows only the reports of its own proxies, and a change by hand holds for these proxies only.
type Instance struct {
	Name    string `json:"instance"`
	Proxies int    `json:"proxies"` // connected to it
	// Replicas are the control planes that share their breakers; nil: it is the only one.
	Replicas *Replicas `json:"replicas,omitempty"`
}

// BreakerList is the answer of GET /breakers.
type BreakerList struct {
	Breakers   []Breaker `json:"breakers"`
	AnsweredBy *Instance `json:"answered_by,omitempty"` // nil: a control plane of an older version
}

// OneBreaker is the answer of GET /breakers/{key}, and of a change by hand that was made.
type OneBreaker struct {
	Breaker
	AnsweredBy *Instance `json:"answered_by,omitempty"` // nil: a control plane of an older version
}

// Breaker is one breaker at one instant. Where each proxy has a breaker of its own, the one
// without a node stands for all of them: its counts are sums, and its state is the worst of theirs.
type Breaker struct {
	Key     string `json:"key"` // service, service/route, or one of them with @node
	Service string `json:"service"`
	Route   string `json:"route"`          // "": the service's own breaker
	Node    string `json:"node,omitempty"` // the proxy whose own breaker it is; "": it is shared
	// Nodes is how many proxies have a breaker of their own under this one; 0: they share it.
	Nodes uint32 `json:"nodes,omitempty"`
	Mode  Mode   `json:"mode"` // now in force; the policy's own mode is in Config
	// DataPath is where the breaker is enforced, Inline or Adaptive; "": the policy in force has no such breaker.
	DataPath string `json:"data_path,omitempty"`
	// Owner is the name of the replica that decides about the breaker; "": it is not shared.
	Owner string `json:"owner,omitempty"`
	// LocalView says that the replica that answers does not reach the owner, so that it decides by what its own side knows.
	LocalView  bool      `json:"local_view,omitempty"`
	State      State     `json:"state"`
	Forced     *Forced   `json:"forced"` // nil: the rules decide
	Since      time.Time `json:"since"`  // when the state began
	Generation uint64    `json:"generation"`
	// RetryAfter is how long calls are still rejected; nil where the breaker is not open, or where that is not known.
	RetryAfter *Duration `json:"retry_after,omitempty"`
	// Admits is the share of calls that are admitted while closed, such as "100%", or less in a ramp; "" in other states.
	Admits         string `json:"admits,omitempty"`
	Openings       uint32 `json:"openings"`  // in a row, each of which made the wait longer
	InFlight       uint64 `json:"in_flight"` // calls that hold a permit, probes among them
	ProbesInFlight uint32 `json:"probes_in_flight"`
	Window         Window `json:"window"`
	Counts         Counts `json:"counts"`
	// LastFailure is when a call last failed; nil: none has.
	LastFailure *time.Time `json:"last_failure"`
	// LastTransition is the last change of state; nil: there was none, or it is not known.
	LastTransition *Transition `json:"last_transition"`
	// Cause is the transition that began the present episode, which lasts from closed to closed; while the breaker is
	// closed, the one that began the last episode. Nil: there was none.
	Cause *Transition `json:"cause"`
	// Trip is the last change into open by a rule; nil: there was none in the episode.
	Trip   *Transition   `json:"trip"`
	Config BreakerConfig `json:"config"`
}

// Forced says who holds a breaker in its state, where its rules do not decide.
type Forced struct {
	State  State      `json:"state"` // open or closed
	By     string     `json:"by"`    // "policy" where the policy's mode is ForcedOpen
	Reason string     `json:"reason"`
	Until  *time.Time `json:"until"` // nil: until the policy changes
}

// Window is the calls by which a breaker judges.
type Window struct {
	Calls    uint64 `json:"calls"`
	Failures uint64 `json:"failures"`
	Slow     uint64 `json:"slow"`
	Run      uint32 `json:"consecutive_failures"` // failures since the last success
}

// Counts are the calls of a breaker since it was made.
type Counts struct {
	Requests      uint64 `json:"requests"` // all, the rejected ones included
	Rejected      uint64 `json:"rejected"`
	WouldReject   uint64 `json:"would_reject"` // admitted only because the mode is MetricsOnly
	Successes     uint64 `json:"successes"`
	Failures      uint64 `json:"failures"` // timeouts included
	Timeouts      uint64 `json:"timeouts"`
	Slow          uint64 `json:"slow"`
	Ignored       uint64 `json:"ignored"`        // neither succeeded nor failed
	LeasesExpired uint64 `json:"leases_expired"` // probes whose outcome did not come in time
}

// Transition is one change of state.
type Transition struct {
	Node string `json:"node,omitempty"` // the proxy whose own breaker changed
	// Sequence counts the transitions of one breaker from 1. It begins again at 1 when a changed policy replaces the breaker.
	Sequence uint64     `json:"sequence"`
	At       time.Time  `json:"at"`
	From     State      `json:"from"`
	To       State      `json:"to"`
	Reason   string     `json:"reason"`             // such as "failure_rate", as in the metric circuit_breaker_transitions_total
	Mode     Mode       `json:"mode"`               // in force from then on
	Window   Window     `json:"window"`             // the calls that the breaker had seen
	Wait     *Duration  `json:"wait,omitempty"`     // how long it stays open; only into open by a rule
	Openings uint32     `json:"openings,omitempty"` // in a row, this one included; only into open by a rule
	By       string     `json:"by,omitempty"`       // the operator; only by hand
	Note     string     `json:"note,omitempty"`     // why; only by hand
	Until    *time.Time `json:"until,omitempty"`    // when what was forced ends; only by hand
}

// Event is one line of GET /transitions: a transition and whose it is, or how many lines were lost.
type Event struct {
	Key     string `json:"key"`
	Service string `json:"service"`
	Route   string `json:"route"`
	// Transition is never nil in an event that [Stream.Next] returns.
	*Transition
	// Cause is the transition that began the episode; nil where this transition begins one.
	Cause *Transition `json:"cause,omitempty"`
	// Lost is above 0 in place of everything else: this many transitions were left out here, because the reader was too slow.
	Lost uint64 `json:"lost,omitempty"`
}

// BreakerConfig is the rules of a breaker, in the words and the nesting of a policy. Rates are text such as "50%".
type BreakerConfig struct {
	Mode                                  Mode          `json:"mode"`
	ConsecutiveFailures                   uint32        `json:"consecutiveFailures"`
	SlidingWindow                         SlidingWindow `json:"slidingWindow"`
	MinimumNumberOfCalls                  uint32        `json:"minimumNumberOfCalls"`
	FailureRateThreshold                  string        `json:"failureRateThreshold"`
	SlowCallDurationThreshold             Duration      `json:"slowCallDurationThreshold"`
	SlowCallRateThreshold                 string        `json:"slowCallRateThreshold"`
	WaitDurationInOpenState               Duration      `json:"waitDurationInOpenState"`
	Backoff                               Backoff       `json:"backoff"`
	PermittedNumberOfCallsInHalfOpenState uint32        `json:"permittedNumberOfCallsInHalfOpenState"`
	SuccessThreshold                      uint32        `json:"successThreshold"`
	MaxWaitDurationInHalfOpenState        Duration      `json:"maxWaitDurationInHalfOpenState"`
	Ramp                                  Ramp          `json:"ramp"`
}

// SlidingWindow says by which calls a breaker judges: the calls of a period, or the last ones up to a number.
type SlidingWindow struct {
	Type     string   `json:"type"`              // TimeBased or CountBased
	Duration Duration `json:"duration,omitzero"` // only of TimeBased
	Size     uint32   `json:"size,omitempty"`    // only of CountBased
}

// Backoff is how the wait grows with each opening in a row.
type Backoff struct {
	Multiplier float64  `json:"multiplier"`
	Max        Duration `json:"max"`
	Jitter     string   `json:"jitter"`
}

// Ramp is how a breaker admits a growing share of calls after it has closed.
type Ramp struct {
	Duration Duration `json:"duration"` // 0: it admits all at once
}
