package telemetry

import (
	"math"
	"net/http"
	"slices"
	"time"

	"breakwater.dev/api"
	"breakwater.dev/breaker"
)

// live answers that the process runs.
func (t *Telemetry) live(w http.ResponseWriter, _ *http.Request) {
	t.writeJSON(w, http.StatusOK, struct {
		Status string `json:"status"`
	}{"live"})
}

// ready answers whether every condition holds.
func (t *Telemetry) ready(w http.ResponseWriter, _ *http.Request) {
	conditions := append([]Condition{}, t.options.Ready()...) // [] in JSON, never null
	ok := !slices.ContainsFunc(conditions, func(c Condition) bool { return !c.OK })
	status, word := readiness(ok)
	t.writeJSON(w, status, struct {
		Status     string      `json:"status"`
		Conditions []Condition `json:"conditions"`
	}{word, conditions})
}

func readiness(ok bool) (status int, word string) {
	if ok {
		return http.StatusOK, "ready"
	}
	return http.StatusServiceUnavailable, "not_ready"
}

// dependencies is the body of /health/dependencies.
type dependencies struct {
	Status         string   `json:"status"`
	For            *string  `json:"for,omitempty"`
	Note           string   `json:"note,omitempty"`
	Total          int      `json:"total"`
	Open           int      `json:"open"`
	HalfOpen       int      `json:"half_open"`
	OpenPercentage float64  `json:"open_percentage"`
	OpenBreakers   []string `json:"open_breakers"`
}

// add counts one breaker. One that rejects nothing whatever its state, by its
// mode, keeps no application from working, so it is never open here; one that is
// open for less than half of its proxies is on the way there.
func (d *dependencies) add(st *breaker.Status) {
	d.Total++
	if !st.Rejects() {
		return
	}
	switch {
	case st.State == breaker.Open && 2*st.OpenNodes < st.Nodes: // of a few proxies, and the others do not suffer
		d.HalfOpen++
	case st.State == breaker.Open:
		d.Open++
		d.OpenBreakers = append(d.OpenBreakers, st.Key.String())
	case st.State == breaker.HalfOpen:
		d.HalfOpen++
	}
}

// dependencies answers whether fewer than half of the breakers are open. None at
// all is ready. With ?for=WORKLOAD it is what that application's own readiness
// may ask, so not to know must never take the application out of service: of a
// workload without a proxy that was seen, because it is about to start or this
// process has just done so, nothing is counted, and the answer is ready with a
// note that says why. For the same reason an application that gets no answer
// here at all should go on being ready.
func (t *Telemetry) dependencies(w http.ResponseWriter, r *http.Request) {
	d := dependencies{OpenBreakers: []string{}}
	counts := func(breaker.Key) bool { return true }
	if query := r.URL.Query(); query.Has("for") {
		d.For = new(query.Get("for"))
		upstreams, known := t.options.Calls(*d.For)
		if !known {
			upstreams, d.Note = nil, "no proxy of this workload is connected, so what it calls is not known and nothing is counted"
		}
		counts = func(k breaker.Key) bool { return slices.Contains(upstreams, k.Upstream) }
	}
	t.withStatuses(func(statuses []breaker.Status) {
		for i := range statuses {
			if st := &statuses[i]; st.Key.Node == "" && counts(st.Key) {
				d.add(st)
			}
		}
	})
	if d.Total > 0 {
		d.OpenPercentage = math.Round(float64(d.Open)/float64(d.Total)*1000) / 10
	}
	var status int
	status, d.Status = readiness(d.Total == 0 || 2*d.Open < d.Total)
	t.writeJSON(w, status, d)
}

// service is one element of /health/services.
type service struct {
	Service      string `json:"service"`
	Route        string `json:"route"`
	Status       string `json:"status"`
	CircuitState string `json:"circuit_state"`
	Mode         string `json:"mode"`                // as in breakerJSON
	DataPath     string `json:"data_path,omitempty"` // as in breakerJSON
	// Forced says who holds it in that state; it is left out where the rules decide.
	Forced       *forcedJSON `json:"forced,omitempty"`
	FailureCount uint64      `json:"failure_count"` // since the breaker was made, as the metric has it
	LastFailure  *time.Time  `json:"last_failure"`
}

// health says by state how a service does.
func health(s breaker.State) string {
	switch s {
	case breaker.Closed:
		return "healthy"
	case breaker.HalfOpen:
		return "degraded"
	default:
		return "unhealthy"
	}
}

func (t *Telemetry) services(w http.ResponseWriter, _ *http.Request) {
	services := []service{}
	t.withStatuses(func(statuses []breaker.Status) {
		for i := range statuses {
			st := &statuses[i]
			if st.Key.Node != "" {
				continue
			}
			services = append(services, service{
				Service:      st.Key.Upstream,
				Route:        st.Key.Route,
				Status:       health(st.State),
				CircuitState: st.State.String(),
				Mode:         st.EffectiveMode(),
				DataPath:     t.dataPath(st.Key),
				Forced:       t.forced(st),
				FailureCount: st.Counts.Failures,
				LastFailure:  t.lastFailure(st),
			})
		}
	})
	t.writeJSON(w, http.StatusOK, struct {
		Services  []service     `json:"services"`
		Ejections []ejectedJSON `json:"ejections"`
	}{services, t.ejected()})
}

// lastFailure is nil where there was none.
func (t *Telemetry) lastFailure(st *breaker.Status) *time.Time {
	if st.Counts.Failures == 0 {
		return nil
	}
	return new(api.Timestamp(t.options.Wall(st.LastFailure)))
}
