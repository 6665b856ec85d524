package httpapi

import (
	"time"

	"breakwater.dev/api"
	"breakwater.dev/breaker"
)

// describe returns what answers say of a breaker.
func (a *API) describe(st *breaker.Status) api.Breaker {
	b := api.Breaker{
		Key: st.Key.String(), Service: st.Key.Upstream, Route: st.Key.Route, Node: st.Key.Node, Nodes: st.Nodes,
		Mode: api.Mode(st.EffectiveMode()), DataPath: a.dataPath(st.Key), State: stateOf(st.State), Forced: a.forced(st),
		Since: api.Timestamp(a.options.Clock.Wall(st.Since)), Generation: st.Generation,
		Openings: st.Openings, InFlight: st.InFlight, ProbesInFlight: st.ProbesInFlight,
		Window:      api.Window(st.Window),
		Counts:      api.Counts(st.Counts),
		LastFailure: a.lastFailure(st),
		Config:      describeConfig(st.Config),
	}
	if a.options.Owner != nil {
		owner, known := a.options.Owner(st.Key)
		b.Owner, b.LocalView = owner, owner != "" && !known
	}
	if e := st.Episode; e != nil {
		b.Cause, b.Trip = a.describeTransition(e.Cause), a.describeTransition(e.Trip)
	}
	switch {
	case st.State == breaker.Closed:
		b.Admits = st.Admits.String()
	case st.State == breaker.Open && st.RetryAfter > 0:
		b.RetryAfter = new(api.Measured(st.RetryAfter))
	}
	if last := a.options.History.LastTransition(st.Key); last != nil && ledTo(last, st) {
		b.LastTransition = a.describeTransition(last)
	}
	return b
}

// ledTo reports whether a transition is the last one of a breaker at the time of its status. It is not if the status comes from another
// time: a transition reaches the history shortly after the breaker. Only one transition is remembered for all proxies together,
// so it may be another proxy's.
func ledTo(last *breaker.Transition, st *breaker.Status) bool {
	if st.Nodes > 0 {
		return true // the status is a sum
	}
	return last.Key == st.Key && last.Sequence == st.Sequence
}

func stateOf(s breaker.State) api.State { return api.State(s.String()) }

// dataPath returns where a breaker is enforced; "": the policy in force does not have it.
func (a *API) dataPath(key breaker.Key) string {
	set := a.options.Policy()
	if set == nil {
		return ""
	}
	u := set.Upstream(key.Upstream)
	if u == nil {
		return ""
	}
	for _, r := range u.Routes {
		if b := r.Breaker; b != nil && b.Spec.Key.Route == key.Route {
			return string(b.DataPath)
		}
	}
	return ""
}

// forced returns who holds the breaker in its state; nil: its rules decide.
func (a *API) forced(st *breaker.Status) *api.Forced {
	switch o := st.Override; {
	case o != nil:
		return &api.Forced{State: stateOf(o.State), By: o.By, Reason: o.Note, Until: a.moment(o.Until)}
	case st.Config.Mode == breaker.ForcedOpen:
		return &api.Forced{State: api.Open, By: "policy", Reason: "its mode is ForcedOpen"}
	}
	return nil
}

// moment returns the time of an instant; nil for 0, which is no instant.
func (a *API) moment(i breaker.Instant) *time.Time {
	if i == 0 {
		return nil
	}
	return new(api.Timestamp(a.options.Clock.Wall(i)))
}

// lastFailure returns when a call last failed; nil: none has.
func (a *API) lastFailure(st *breaker.Status) *time.Time {
	if st.Counts.Failures == 0 {
		return nil
	}
	return new(api.Timestamp(a.options.Clock.Wall(st.LastFailure)))
}

// describeTransition returns what answers say of t, which may be nil.
func (a *API) describeTransition(t *breaker.Transition) *api.Transition {
	if t == nil {
		return nil
	}
	d := &api.Transition{
		Node: t.Key.Node, Sequence: t.Sequence, At: api.Timestamp(a.options.Clock.Wall(t.At)),
		From: stateOf(t.Edge.From), To: stateOf(t.Edge.To), Reason: t.Edge.Reason.String(), Mode: api.Mode(t.EffectiveMode()),
		Window: api.Window(t.Window), Openings: t.Openings,
		By: t.By, Note: t.Note, Until: a.moment(t.Until),
	}
	if t.Wait > 0 {
		d.Wait = new(api.Measured(t.Wait))
	}
	return d
}

func describeConfig(c *breaker.Config) api.BreakerConfig {
	d := api.BreakerConfig{
		Mode:                                  api.Mode(c.Mode.String()),
		ConsecutiveFailures:                   c.ConsecutiveFailures,
		MinimumNumberOfCalls:                  c.MinimumNumberOfCalls,
		FailureRateThreshold:                  c.FailureRateThreshold.String(),
		SlowCallDurationThreshold:             api.Duration(c.SlowCallDurationThreshold),
		SlowCallRateThreshold:                 c.SlowCallRateThreshold.String(),
		WaitDurationInOpenState:               api.Duration(c.WaitDurationInOpenState),
		Backoff:                               api.Backoff{Multiplier: float64(c.BackoffMultiplier) / 100, Max: api.Duration(c.BackoffMax), Jitter: c.BackoffJitter.String()},
		PermittedNumberOfCallsInHalfOpenState: c.PermittedNumberOfCallsInHalfOpenState,
		SuccessThreshold:                      c.SuccessThreshold,
		MaxWaitDurationInHalfOpenState:        api.Duration(c.MaxWaitDurationInHalfOpenState),
		Ramp:                                  api.Ramp{Duration: api.Duration(c.RampDuration)},
	}
	if c.WindowSize > 0 {
		d.SlidingWindow = api.SlidingWindow{Type: "CountBased", Size: c.WindowSize}
	} else {
		d.SlidingWindow = api.SlidingWindow{Type: "TimeBased", Duration: api.Duration(c.WindowDuration)}
	}
	return d
}
