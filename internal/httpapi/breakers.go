package httpapi

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"breakwater.dev/api"
	"breakwater.dev/breaker"
)

// breakers answers with an [api.BreakerList] of all breakers, or of those that are asked for. It writes the list as
// it makes it: one of 100,000 breakers is some hundred megabytes.
func (a *API) breakers(w http.ResponseWriter, r *http.Request) {
	wanted, err := filter(r.URL.Query())
	if err != nil {
		a.refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if r.Method == http.MethodHead {
		return
	}
	var list bytes.Buffer
	enc := newEncoder(&list, "    ")
	// flush fails only when the client has left.
	flush := func() error {
		_, err := w.Write(list.Bytes())
		list.Reset()
		return err
	}
	list.WriteString("{\n  \"breakers\": [")
	a.withStatuses(func(statuses []breaker.Status) {
		between := "\n    "
		for i := range statuses {
			if !wanted(&statuses[i]) {
				continue
			}
			list.WriteString(between)
			if err = enc.Encode(a.describe(&statuses[i])); err != nil {
				a.options.Log.Error("breaker cannot be written as JSON", "error", err)
				return
			}
			list.Truncate(list.Len() - 1) // the encoder ends with a new line
			between = ",\n    "
			if list.Len() >= 64<<10 {
				if err = flush(); err != nil {
					return
				}
			}
		}
		if between[0] == ',' {
			list.WriteString("\n  ")
		}
	})
	if err != nil {
		return
	}
	list.WriteString("],\n  \"answered_by\": ")
	if err := newEncoder(&list, "  ").Encode(a.instance()); err != nil {
		a.options.Log.Error("the instance cannot be written as JSON", "error", err)
		return
	}
	list.WriteString("}\n")
	_ = flush()
}

// filter reads which breakers a query is about; all of them where it does not say.
func filter(query url.Values) (wanted func(*breaker.Status) bool, err error) {
	wanted = func(*breaker.Status) bool { return true }
	if query.Has("state") {
		name := query.Get("state")
		states := []breaker.State{breaker.Closed, breaker.HalfOpen, breaker.Open}
		i := slices.IndexFunc(states, func(s breaker.State) bool { return s.String() == name })
		if i < 0 {
			return nil, fmt.Errorf("state = %q; must be closed, half_open or open", name)
		}
		wanted = func(st *breaker.Status) bool { return st.State == states[i] }
	}
	if query.Has("forced") {
		value := query.Get("forced")
		if value != "true" && value != "false" {
			return nil, fmt.Errorf("forced = %q; must be true or false", value)
		}
		before := wanted
		wanted = func(st *breaker.Status) bool { return before(st) && st.Forced() == (value == "true") }
	}
	return wanted, nil
}

// breaker answers with one breaker.
func (a *API) breaker(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("key")
	key := breaker.ParseKey(name)
	var found *api.Breaker
	a.withStatuses(func(statuses []breaker.Status) {
		i := slices.IndexFunc(statuses, func(st breaker.Status) bool { return st.Key == key })
		if i >= 0 && key.String() == name {
			found = new(a.describe(&statuses[i]))
		}
	})
	if found == nil {
		a.refuse(w, http.StatusNotFound, noBreaker(name))
		return
	}
	a.writeJSON(w, http.StatusOK, api.OneBreaker{Breaker: *found, AnsweredBy: a.instance()})
}

// instance returns which control plane gives the answer.
func (a *API) instance() *api.Instance {
	return &api.Instance{Name: a.options.Instance, Proxies: a.options.Proxies.Count(), Replicas: a.sharing()}
}
