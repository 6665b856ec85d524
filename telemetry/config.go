package telemetry

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"time"

	"breakwater.dev/api"
	"breakwater.dev/policy"
)

// configBody is the body of /config.
type configBody struct {
	Version    string       `json:"version"`
	Revision   string       `json:"revision"` // of the policy in force
	LoadedAt   *time.Time   `json:"loaded_at"`
	LastReload *lastReload  `json:"last_reload"`
	Nodes      []NodeStatus `json:"nodes"`
	Policy     any          `json:"policy"`
}

// lastReload is what became of the last load of the policy.
type lastReload struct {
	At     time.Time `json:"at"`
	Result string    `json:"result"` // success or refused
	// Problems has one line for each problem.
	Problems []string `json:"problems"`
	// Diagnostics are the same by their parts; empty where the load failed before
	// any file was read.
	Diagnostics policy.Diagnostics `json:"diagnostics"`
}

// config answers with the policy in force and what became of it.
func (t *Telemetry) config(w http.ResponseWriter, _ *http.Request) {
	r := t.reloads.now()
	body := configBody{
		Version: t.options.Version, Revision: r.revision,
		Nodes: describeNodes(t.options.XDS().Nodes), Policy: t.options.Config(),
	}
	if r.revision != "" {
		body.LoadedAt = new(api.Timestamp(r.loadedAt))
	}
	if !r.lastAt.IsZero() {
		body.LastReload = describeReload(r)
	}
	t.writeJSON(w, http.StatusOK, body)
}

func describeReload(r reloadState) *lastReload {
	j := &lastReload{At: api.Timestamp(r.lastAt), Result: "success", Problems: []string{}, Diagnostics: policy.Diagnostics{}}
	if r.refusal == nil {
		return j
	}
	j.Result = "refused"
	var ds policy.Diagnostics
	if !errors.As(r.refusal, &ds) {
		j.Problems = append(j.Problems, r.refusal.Error())
	}
	for _, d := range ds {
		j.Problems = append(j.Problems, d.String())
		j.Diagnostics = append(j.Diagnostics, d)
	}
	return j
}

// describeNodes returns nodes in order of id, with all times alike.
func describeNodes(nodes []NodeStatus) []NodeStatus {
	out := append([]NodeStatus{}, nodes...)
	slices.SortStableFunc(out, func(a, b NodeStatus) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), a.ConnectedSince.Compare(b.ConnectedSince))
	})
	for i := range out {
		n := &out[i]
		n.ConnectedSince = api.Timestamp(n.ConnectedSince)
		n.Types = append([]TypeStatus{}, n.Types...)
		for j := range n.Types {
			ts := &n.Types[j]
			ts.LastACK = api.Timestamp(ts.LastACK)
			if ts.NACK != nil {
				nack := *ts.NACK
				nack.At = api.Timestamp(nack.At)
				ts.NACK = &nack
			}
		}
	}
	return out
}
