package httpapi

import (
	"math"
	"net/http"
	"slices"

	"breakwater.dev/api"
	"breakwater.dev/breaker"
	"breakwater.dev/outlier"
)

// live answers that the process runs.
func (a *API) live(w http.ResponseWriter, _ *http.Request) {
	a.writeJSON(w, http.StatusOK, api.Live{Status: "live"})
}

// ready answers whether every condition holds.
func (a *API) ready(w http.ResponseWriter, _ *http.Request) {
	conditions := append([]api.Condition{}, a.options.Ready()...) // [] in JSON, never null
	ok := !slices.ContainsFunc(conditions, func(c api.Condition) bool { return !c.OK })
	status, word := readiness(ok)
	a.writeJSON(w, status, api.Ready{Status: word, Conditions: conditions})
}

func readiness(ok bool) (status int, word string) {
	if ok {
		return http.StatusOK, api.IsReady
	}
	return http.StatusServiceUnavailable, api.NotReady
}

// dependencies answers whether fewer than half of the breakers are open. None at
// all is ready. With ?for=WORKLOAD an application can ask for its own readiness,
// so what is not known must never take it out of service: where no proxy of the
// workload was seen, because the application is about to start or this process
// has just done so, nothing is counted, and the answer is ready with a note that
// says why. For the same reason an application that gets no answer here at all
// should go on being ready.
func (a *API) dependencies(w http.ResponseWriter, r *http.Request) {
	d := api.Dependencies{OpenBreakers: []string{}}
	counts := func(breaker.Key) bool { return true }
	if query := r.URL.Query(); query.Has("for") {
		d.For = new(query.Get("for"))
		upstreams, known := a.options.Proxies.Calls(*d.For)
		if !known {
			upstreams, d.Note = nil, "no proxy of this workload is connected, so what it calls is not known and nothing is counted"
		}
		counts = func(k breaker.Key) bool { return slices.Contains(upstreams, k.Upstream) }
	}
	a.withStatuses(func(statuses []breaker.Status) {
		for i := range statuses {
			if st := &statuses[i]; st.Key.Node == "" && counts(st.Key) {
				count(&d, st)
			}
		}
	})
	if d.Total > 0 {
		d.OpenPercentage = math.Round(float64(d.Open)/float64(d.Total)*1000) / 10
	}
	var status int
	status, d.Status = readiness(d.Total == 0 || 2*d.Open < d.Total)
	a.writeJSON(w, status, d)
}

// count counts one breaker. Where the mode lets every call pass, the breaker keeps no application from
// working, so it is never open here. Where less than half of its proxies reject calls, it counts as half-open, since
// the other proxies do not.
func count(d *api.Dependencies, st *breaker.Status) {
	d.Total++
	if !st.Rejects() {
		return
	}
	switch {
	case st.State == breaker.Open && 2*st.OpenNodes < st.Nodes:
		d.HalfOpen++
	case st.State == breaker.Open:
		d.Open++
		d.OpenBreakers = append(d.OpenBreakers, st.Key.String())
	case st.State == breaker.HalfOpen:
		d.HalfOpen++
	}
}

// health returns the word for how well a service does whose breaker is in state s.
func health(s breaker.State) string {
	switch s {
	case breaker.Closed:
		return api.Healthy
	case breaker.HalfOpen:
		return api.Degraded
	default:
		return api.Unhealthy
	}
}

// services answers how well each service does, and which endpoints are ejected.
func (a *API) services(w http.ResponseWriter, _ *http.Request) {
	answer := api.Services{Services: []api.Service{}, Ejections: ejections(a.options.Outliers.Snapshot())}
	a.withStatuses(func(statuses []breaker.Status) {
		for i := range statuses {
			st := &statuses[i]
			if st.Key.Node != "" {
				continue
			}
			answer.Services = append(answer.Services, api.Service{
				Service:      st.Key.Upstream,
				Route:        st.Key.Route,
				Status:       health(st.State),
				CircuitState: stateOf(st.State),
				Mode:         api.Mode(st.EffectiveMode()),
				DataPath:     a.dataPath(st.Key),
				Forced:       a.forced(st),
				FailureCount: st.Counts.Failures,
				LastFailure:  a.lastFailure(st),
			})
		}
	})
	a.writeJSON(w, http.StatusOK, answer)
}

// ejections lists the upstreams that have endpoints out of rotation for all proxies.
func ejections(all []outlier.Status) []api.Ejections {
	list := []api.Ejections{}
	for _, st := range all {
		if len(st.Ejected) > 0 {
			list = append(list, api.Ejections{Service: st.Upstream, Endpoints: st.Endpoints, Ejected: st.Ejected})
		}
	}
	return list
}
