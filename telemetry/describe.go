package telemetry

import (
	"slices"
	"strings"
	"time"

	"breakwater.dev/api"
	"breakwater.dev/breaker"
	"breakwater.dev/policy"
)

// breakerJSON is one breaker. Its config has the words and the nesting of the policy.
type breakerJSON struct {
	Key            string          `json:"key"`
	Service        string          `json:"service"`
	Route          string          `json:"route"`
	Node           string          `json:"node,omitempty"`
	Nodes          uint32          `json:"nodes,omitempty"`     // in a scope of nodes: of how many proxies this is the sum
	Mode           string          `json:"mode"`                // what decides; in config there is the policy's
	DataPath       string          `json:"data_path,omitempty"` // left out where the policy in force has no such breaker
	State          string          `json:"state"`
	Forced         *forcedJSON     `json:"forced"`
	Since          time.Time       `json:"since"`
	Generation     uint64          `json:"generation"`
	RetryAfter     string          `json:"retry_after,omitempty"` // only while open, and where it is known
	Admits         string          `json:"admits,omitempty"`      // only while closed
	Openings       uint32          `json:"openings"`
	InFlight       uint64          `json:"in_flight"`
	ProbesInFlight uint32          `json:"probes_in_flight"`
	Window         windowJSON      `json:"window"`
	Counts         countsJSON      `json:"counts"`
	LastFailure    *time.Time      `json:"last_failure"`
	LastTransition *transitionJSON `json:"last_transition"`
	// Cause is what began the present episode, from closed to closed, or while closed the last one.
	Cause *transitionJSON `json:"cause"`
	// Trip is the last change into open by a rule.
	Trip   *transitionJSON `json:"trip"`
	Config configJSON      `json:"config"`
}

// forcedJSON is who holds a breaker in its state, where its rules do not decide.
type forcedJSON struct {
	State  string     `json:"state"`
	By     string     `json:"by"`
	Reason string     `json:"reason"`
	Until  *time.Time `json:"until"` // null: until the policy changes
}

type windowJSON struct {
	Calls    uint64 `json:"calls"`
	Failures uint64 `json:"failures"`
	Slow     uint64 `json:"slow"`
	Run      uint32 `json:"consecutive_failures"`
}

type countsJSON struct {
	Requests      uint64 `json:"requests"`
	Rejected      uint64 `json:"rejected"`
	WouldReject   uint64 `json:"would_reject"`
	Successes     uint64 `json:"successes"`
	Failures      uint64 `json:"failures"`
	Timeouts      uint64 `json:"timeouts"`
	Slow          uint64 `json:"slow"`
	Ignored       uint64 `json:"ignored"`
	LeasesExpired uint64 `json:"leases_expired"`
}

type transitionJSON struct {
	Node     string     `json:"node,omitempty"`
	Sequence uint64     `json:"sequence"`
	At       time.Time  `json:"at"`
	From     string     `json:"from"`
	To       string     `json:"to"`
	Reason   string     `json:"reason"`
	Mode     string     `json:"mode"` // what decides from then on
	Window   windowJSON `json:"window"`
	Wait     string     `json:"wait,omitempty"`     // only into open by a rule, as are the openings
	Openings uint32     `json:"openings,omitempty"` // in a row
	By       string     `json:"by,omitempty"`       // only by hand, as are note and until
	Note     string     `json:"note,omitempty"`
	Until    *time.Time `json:"until,omitempty"`
}

type configJSON struct {
	Mode                string `json:"mode"`
	ConsecutiveFailures uint32 `json:"consecutiveFailures"`
	SlidingWindow       struct {
		Type     string `json:"type"`
		Duration string `json:"duration,omitempty"`
		Size     uint32 `json:"size,omitempty"`
	} `json:"slidingWindow"`
	MinimumNumberOfCalls      uint32 `json:"minimumNumberOfCalls"`
	FailureRateThreshold      string `json:"failureRateThreshold"`
	SlowCallDurationThreshold string `json:"slowCallDurationThreshold"`
	SlowCallRateThreshold     string `json:"slowCallRateThreshold"`
	WaitDurationInOpenState   string `json:"waitDurationInOpenState"`
	Backoff                   struct {
		Multiplier float64 `json:"multiplier"`
		Max        string  `json:"max"`
		Jitter     string  `json:"jitter"`
	} `json:"backoff"`
	PermittedNumberOfCallsInHalfOpenState uint32 `json:"permittedNumberOfCallsInHalfOpenState"`
	SuccessThreshold                      uint32 `json:"successThreshold"`
	MaxWaitDurationInHalfOpenState        string `json:"maxWaitDurationInHalfOpenState"`
	Ramp                                  struct {
		Duration string `json:"duration"`
	} `json:"ramp"`
}

// describe puts st into words.
func (t *Telemetry) describe(st *breaker.Status) breakerJSON {
	b := breakerJSON{
		Key: st.Key.String(), Service: st.Key.Upstream, Route: st.Key.Route, Node: st.Key.Node, Nodes: st.Nodes,
		Mode: st.EffectiveMode(), DataPath: t.dataPath(st.Key), State: st.State.String(), Forced: t.forced(st),
		Since: api.Timestamp(t.options.Wall(st.Since)), Generation: st.Generation,
		Openings: st.Openings, InFlight: st.InFlight, ProbesInFlight: st.ProbesInFlight,
		Window:      windowJSON(st.Window),
		Counts:      countsJSON(st.Counts),
		LastFailure: t.lastFailure(st),
		Config:      describeConfig(st.Config),
	}
	if e := st.Episode; e != nil {
		b.Cause, b.Trip = t.describeTransition(e.Cause), t.describeTransition(e.Trip)
	}
	switch {
	case st.State == breaker.Closed:
		b.Admits = st.Admits.String()
	case st.State == breaker.Open && st.RetryAfter > 0:
		b.RetryAfter = api.Measured(st.RetryAfter).String()
	}
	// Only one is remembered for all proxies together: it is this proxy's, or not known.
	if last := t.series.Last(st.Key); last != nil && (st.Key.Node == "" || st.Key == last.Key) {
		b.LastTransition = t.describeTransition(last)
	}
	return b
}

// dataPath is where a breaker is enforced; "" where the policy in force does not have it.
func (t *Telemetry) dataPath(key breaker.Key) string {
	set := t.set.Load()
	if set == nil {
		return ""
	}
	i, found := slices.BinarySearchFunc(set.Upstreams, key.Upstream, func(u *policy.Upstream, name string) int { return strings.Compare(u.Name, name) })
	if !found {
		return ""
	}
	for _, r := range set.Upstreams[i].Routes {
		if b := r.Breaker; b != nil && b.Spec.Key.Route == key.Route {
			return string(b.DataPath)
		}
	}
	return ""
}

// forced is nil where the breaker's rules decide.
func (t *Telemetry) forced(st *breaker.Status) *forcedJSON {
	switch o := st.Override; {
	case o != nil:
		return &forcedJSON{State: o.State.String(), By: o.By, Reason: o.Note, Until: t.moment(o.Until)}
	case st.Config.Mode == breaker.ForcedOpen:
		return &forcedJSON{State: breaker.Open.String(), By: "policy", Reason: "its mode is ForcedOpen"}
	}
	return nil
}

// moment is nil for 0, which is no time.
func (t *Telemetry) moment(i breaker.Instant) *time.Time {
	if i == 0 {
		return nil
	}
	return new(api.Timestamp(t.options.Wall(i)))
}

// describeTransition puts tr, which may be nil, into words.
func (t *Telemetry) describeTransition(tr *breaker.Transition) *transitionJSON {
	if tr == nil {
		return nil
	}
	j := &transitionJSON{
		Node: tr.Key.Node, Sequence: tr.Sequence, At: api.Timestamp(t.options.Wall(tr.At)),
		From: tr.Edge.From.String(), To: tr.Edge.To.String(), Reason: tr.Edge.Reason.String(), Mode: tr.EffectiveMode(),
		Window: windowJSON(tr.Window), Openings: tr.Openings,
		By: tr.By, Note: tr.Note, Until: t.moment(tr.Until),
	}
	if tr.Wait > 0 {
		j.Wait = api.Measured(tr.Wait).String()
	}
	return j
}

func describeConfig(c *breaker.Config) configJSON {
	j := configJSON{
		Mode:                                  c.Mode.String(),
		ConsecutiveFailures:                   c.ConsecutiveFailures,
		MinimumNumberOfCalls:                  c.MinimumNumberOfCalls,
		FailureRateThreshold:                  c.FailureRateThreshold.String(),
		SlowCallDurationThreshold:             api.Duration(c.SlowCallDurationThreshold).String(),
		SlowCallRateThreshold:                 c.SlowCallRateThreshold.String(),
		WaitDurationInOpenState:               api.Duration(c.WaitDurationInOpenState).String(),
		PermittedNumberOfCallsInHalfOpenState: c.PermittedNumberOfCallsInHalfOpenState,
		SuccessThreshold:                      c.SuccessThreshold,
		MaxWaitDurationInHalfOpenState:        api.Duration(c.MaxWaitDurationInHalfOpenState).String(),
	}
	if c.WindowSize > 0 {
		j.SlidingWindow.Type, j.SlidingWindow.Size = "CountBased", c.WindowSize
	} else {
		j.SlidingWindow.Type, j.SlidingWindow.Duration = "TimeBased", api.Duration(c.WindowDuration).String()
	}
	j.Backoff.Multiplier = float64(c.BackoffMultiplier) / 100
	j.Backoff.Max, j.Backoff.Jitter = api.Duration(c.BackoffMax).String(), c.BackoffJitter.String()
	j.Ramp.Duration = api.Duration(c.RampDuration).String()
	return j
}
