package telemetry

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"breakwater.dev/breaker"
)

// breakerJSON is one breaker. Its config has the words and the nesting of the policy.
type breakerJSON struct {
	Key            string          `json:"key"`
	Service        string          `json:"service"`
	Route          string          `json:"route"`
	State          string          `json:"state"`
	Since          time.Time       `json:"since"`
	Generation     uint64          `json:"generation"`
	RetryAfter     string          `json:"retry_after,omitempty"` // only while open
	ProbesInFlight uint32          `json:"probes_in_flight"`
	Window         windowJSON      `json:"window"`
	Counts         countsJSON      `json:"counts"`
	LastFailure    *time.Time      `json:"last_failure"`
	LastTransition *transitionJSON `json:"last_transition"`
	Config         configJSON      `json:"config"`
}

type windowJSON struct {
	Calls    uint64 `json:"calls"`
	Failures uint64 `json:"failures"`
	Run      uint32 `json:"consecutive_failures"`
}

type countsJSON struct {
	Requests      uint64 `json:"requests"`
	Rejected      uint64 `json:"rejected"`
	Successes     uint64 `json:"successes"`
	Failures      uint64 `json:"failures"`
	Timeouts      uint64 `json:"timeouts"`
	Ignored       uint64 `json:"ignored"`
	LeasesExpired uint64 `json:"leases_expired"`
}

type transitionJSON struct {
	Sequence uint64     `json:"sequence"`
	At       time.Time  `json:"at"`
	From     string     `json:"from"`
	To       string     `json:"to"`
	Reason   string     `json:"reason"`
	Window   windowJSON `json:"window"`
	Wait     string     `json:"wait,omitempty"` // only into open
}

type configJSON struct {
	ConsecutiveFailures uint32 `json:"consecutiveFailures"`
	SlidingWindow       struct {
		Duration string `json:"duration"`
	} `json:"slidingWindow"`
	MinimumNumberOfCalls                  uint32 `json:"minimumNumberOfCalls"`
	FailureRateThreshold                  string `json:"failureRateThreshold"`
	WaitDurationInOpenState               string `json:"waitDurationInOpenState"`
	PermittedNumberOfCallsInHalfOpenState uint32 `json:"permittedNumberOfCallsInHalfOpenState"`
	SuccessThreshold                      uint32 `json:"successThreshold"`
	MaxWaitDurationInHalfOpenState        string `json:"maxWaitDurationInHalfOpenState"`
}

// breakers lists all breakers, or those of one state.
func (t *Telemetry) breakers(w http.ResponseWriter, r *http.Request) {
	wanted := func(breaker.State) bool { return true }
	if query := r.URL.Query(); query.Has("state") {
		name := query.Get("state")
		states := []breaker.State{breaker.Closed, breaker.HalfOpen, breaker.Open}
		i := slices.IndexFunc(states, func(s breaker.State) bool { return s.String() == name })
		if i < 0 {
			t.writeJSON(w, http.StatusBadRequest, problem{fmt.Sprintf("state = %q; must be closed, half_open or open", name)})
			return
		}
		wanted = func(s breaker.State) bool { return s == states[i] }
	}
	byKey := t.series.Load().byKey
	list := []breakerJSON{}
	for _, st := range t.options.Breakers() {
		if wanted(st.State) {
			list = append(list, t.describe(&st, byKey[st.Key]))
		}
	}
	t.writeJSON(w, http.StatusOK, struct {
		Breakers []breakerJSON `json:"breakers"`
	}{list})
}

// breaker answers with one.
func (t *Telemetry) breaker(w http.ResponseWriter, r *http.Request) {
	key := r.PathValue("key")
	byKey := t.series.Load().byKey
	for _, st := range t.options.Breakers() {
		if st.Key.String() == key {
			t.writeJSON(w, http.StatusOK, t.describe(&st, byKey[st.Key]))
			return
		}
	}
	t.writeJSON(w, http.StatusNotFound, problem{fmt.Sprintf("there is no breaker %q", key)})
}

// describe puts st into words; s may be nil.
func (t *Telemetry) describe(st *breaker.Status, s *series) breakerJSON {
	b := breakerJSON{
		Key: st.Key.String(), Service: st.Key.Upstream, Route: st.Key.Route,
		State: st.State.String(), Since: timestamp(t.options.Wall(st.Since)), Generation: st.Generation,
		ProbesInFlight: st.ProbesInFlight,
		Window:         windowJSON(st.Window),
		Counts:         countsJSON(st.Counts),
		LastFailure:    t.lastFailure(st),
		Config:         describeConfig(st.Config),
	}
	if st.State == breaker.Open {
		b.RetryAfter = duration(st.RetryAfter)
	}
	if s != nil {
		b.LastTransition = t.describeTransition(s.last.Load())
	}
	return b
}

// describeTransition puts tr, which may be nil, into words.
func (t *Telemetry) describeTransition(tr *breaker.Transition) *transitionJSON {
	if tr == nil {
		return nil
	}
	j := &transitionJSON{
		Sequence: tr.Sequence, At: timestamp(t.options.Wall(tr.At)),
		From: tr.Edge.From.String(), To: tr.Edge.To.String(), Reason: tr.Edge.Reason.String(),
		Window: windowJSON(tr.Window),
	}
	if tr.Edge.To == breaker.Open {
		j.Wait = duration(tr.Wait)
	}
	return j
}

func describeConfig(c breaker.Config) configJSON {
	j := configJSON{
		ConsecutiveFailures:                   c.ConsecutiveFailures,
		MinimumNumberOfCalls:                  c.MinimumNumberOfCalls,
		FailureRateThreshold:                  c.FailureRateThreshold.String(),
		WaitDurationInOpenState:               exactDuration(c.WaitDurationInOpenState),
		PermittedNumberOfCallsInHalfOpenState: c.PermittedNumberOfCallsInHalfOpenState,
		SuccessThreshold:                      c.SuccessThreshold,
		MaxWaitDurationInHalfOpenState:        exactDuration(c.MaxWaitDurationInHalfOpenState),
	}
	j.SlidingWindow.Duration = exactDuration(c.WindowDuration)
	return j
}
