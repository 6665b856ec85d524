package telemetry

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"breakwater.dev/breaker"
)

// breakers lists all breakers, or those that are asked for. It writes the list
// as it makes it: that of 100,000 breakers is some hundred megabytes.
func (t *Telemetry) breakers(w http.ResponseWriter, r *http.Request) {
	wanted, err := filter(r.URL.Query())
	if err != nil {
		t.writeJSON(w, http.StatusBadRequest, problem{err.Error()})
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
	t.withStatuses(func(statuses []breaker.Status) {
		between := "\n    "
		for i := range statuses {
			if !wanted(&statuses[i]) {
				continue
			}
			list.WriteString(between)
			if err = enc.Encode(t.describe(&statuses[i])); err != nil {
				t.options.Log.Error("breaker cannot be written as JSON", "error", err)
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
	if err := newEncoder(&list, "  ").Encode(t.answeredBy()); err != nil {
		t.options.Log.Error("the instance cannot be written as JSON", "error", err)
		return
	}
	list.WriteString("}\n")
	_ = flush()
}

// filter reads which breakers a query is about; all of them when it does not say.
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

// breaker answers with one.
func (t *Telemetry) breaker(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("key")
	key := breaker.ParseKey(name)
	var found *breakerJSON
	t.withStatuses(func(statuses []breaker.Status) {
		i := slices.IndexFunc(statuses, func(st breaker.Status) bool { return st.Key == key })
		if i >= 0 && key.String() == name {
			found = new(t.describe(&statuses[i]))
		}
	})
	if found == nil {
		t.writeJSON(w, http.StatusNotFound, problem{fmt.Sprintf("there is no breaker %q", name)})
		return
	}
	t.writeJSON(w, http.StatusOK, struct {
		*breakerJSON
		AnsweredBy answeredBy `json:"answered_by"`
	}{found, t.answeredBy()})
}

// answeredBy tells whose answer it is: of several control planes each knows what its own
// proxies tell, and what is done by hand holds for these.
type answeredBy struct {
	Instance string `json:"instance"`
	Proxies  int    `json:"proxies"` // connected to it
}

func (t *Telemetry) answeredBy() answeredBy {
	return answeredBy{Instance: t.options.Instance, Proxies: len(t.options.XDS().Nodes)}
}
