package httpapi

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"breakwater.dev/api"
	"breakwater.dev/breaker"
	"breakwater.dev/internal/typical"
	"breakwater.dev/outlier"
	"breakwater.dev/policy"
)

// mesh is everything that an [API] shows, made up. Its zero value is a mesh without anything.
type mesh struct {
	version  string
	breakers func(dst []breaker.Status) []breaker.Status
	set      *policy.Set
	view     any // shown in place of the set; nil: the set itself
	load     api.Load
	moves    []breaker.Transition
	nodes    []api.Node
	outliers []outlier.Status
	ready    []api.Condition
	admin    Admin
	log      *slog.Logger

	// did has a line for each change by hand.
	did io.Writer
}

// api returns the API that shows the mesh.
func (m *mesh) api() *API {
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	a := New(Options{
		Version: m.version, Engine: m, Clock: still{}, Deliver: func() {}, Policy: func() *policy.Set { return m.set },
		History: m, Proxies: m, Outliers: m, Ready: func() []api.Condition { return m.ready }, Admin: m.admin, Log: m.log,
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		}),
	})
	if m.view != nil {
		a.view = func(*policy.Set) any { return m.view }
	}
	return a
}

func (m *mesh) AppendSnapshot(dst []breaker.Status, _ breaker.Instant) []breaker.Status {
	if m.breakers == nil {
		return dst
	}
	return m.breakers(dst)
}

// has returns nil where there is such a breaker. The engine of "broken" fails.
func (m *mesh) has(key breaker.Key) error {
	if key.Upstream == "broken" {
		return fmt.Errorf("the engine is on fire")
	}
	for _, st := range m.breakers(nil) {
		if st.Key == key {
			return nil
		}
	}
	return fmt.Errorf("change %s: %w", key, breaker.ErrUnknown)
}

func (m *mesh) Force(key breaker.Key, o breaker.Override, now breaker.Instant) error {
	fmt.Fprintf(m.did, "\tforces %s %s for %s, by %s: %s\n", key, o.State, o.Until.Sub(now), o.By, o.Note)
	return m.has(key)
}

func (m *mesh) Reset(key breaker.Key, by, note string, _ breaker.Instant) error {
	fmt.Fprintf(m.did, "\tresets %s, by %s: %s\n", key, by, note)
	return m.has(key)
}

func (m *mesh) Load() api.Load { return m.load }

func (m *mesh) LastTransition(key breaker.Key) *breaker.Transition {
	for i := range m.moves {
		t := &m.moves[len(m.moves)-1-i]
		if t.Key.Upstream == key.Upstream && t.Key.Route == key.Route {
			return t
		}
	}
	return nil
}

func (m *mesh) Status() []api.Node { return m.nodes }
func (m *mesh) Count() int         { return len(m.nodes) }

func (m *mesh) Calls(workload string) ([]string, bool) {
	calls := map[string][]string{"shop": {"payments"}, "search": {"catalog", "inventory"}, "batch": {}}
	upstreams, known := calls[workload]
	return upstreams, known && len(m.nodes) > 0
}

func (m *mesh) Snapshot() []outlier.Status { return m.outliers }

// still is a [Clock] that stands still, at the time of the typical mesh.
type still struct{}

func (still) Now() breaker.Instant             { return 0 }
func (still) Wall(i breaker.Instant) time.Time { return typical.Wall(i) }

// situations are the meshes of the golden files, by the name that they use.
var situations = map[string]func() *API{
	"empty":    func() *API { return new(mesh).api() },
	"typical":  func() *API { return typicalMesh().api() },
	"refused":  func() *API { return reloaded("refused") },
	"failed":   func() *API { return reloaded("failed") },
	"not-yet":  notYet,
	"half":     func() *API { return dependenciesOf(breaker.Open, breaker.Closed) },
	"minority": func() *API { return dependenciesOf(breaker.Open, breaker.HalfOpen, breaker.HalfOpen) },
}

// typicalMesh is a mesh with a breaker in each state.
func typicalMesh() *mesh {
	loaded := api.Timestamp(typical.Start)
	return &mesh{
		version: "v1.2.3", breakers: typical.Breakers, set: typical.Policy(), moves: typical.Transitions(),
		view: map[string]any{"upstreams": []string{"catalog", "inventory", "payments"}},
		load: api.Load{Revision: typical.Policy().Revision, LoadedAt: &loaded, LastReload: &api.Reload{
			At: loaded, Result: api.LoadSucceeded, Problems: []string{}, Diagnostics: []api.Diagnostic{},
		}},
		nodes: typical.Nodes(), outliers: typical.Outliers(),
		ready: []api.Condition{{Name: "policy", OK: true, Reason: "9 breakers"}, {Name: "xds listener", OK: true}},
	}
}

// reloaded is the typical mesh after a load that was refused.
func reloaded(why string) *API {
	m := typicalMesh()
	r := &api.Reload{At: api.Timestamp(typical.Start.Add(time.Minute)), Result: api.LoadRefused, Problems: []string{}, Diagnostics: []api.Diagnostic{}}
	err := typical.Refusals()[why]
	if all := (policy.Diagnostics)(nil); errors.As(err, &all) {
		for _, d := range all {
			r.Problems, r.Diagnostics = append(r.Problems, d.String()), append(r.Diagnostics, api.Diagnostic(d))
		}
	} else {
		r.Problems = append(r.Problems, err.Error())
	}
	m.load.LastReload = r
	return m.api()
}

// notYet is a process that cannot serve.
func notYet() *API {
	m := &mesh{ready: []api.Condition{
		{Name: "policy", OK: true}, {Name: "xds listener", Reason: "listen tcp 127.0.0.1:18000: bind: address already in use"},
	}}
	return m.api()
}

// dependenciesOf has a breaker in each of states.
func dependenciesOf(states ...breaker.State) *API {
	var all []breaker.Status
	for i, s := range states {
		all = append(all, breaker.Status{Key: breaker.Key{Upstream: fmt.Sprintf("u%d", i+1)}, State: s})
	}
	return (&mesh{breakers: these(all...)}).api()
}

// these are breakers that stay as they are, each with the default config where it has none.
func these(all ...breaker.Status) func([]breaker.Status) []breaker.Status {
	c := breaker.DefaultConfig()
	for i := range all {
		if all[i].Config == nil {
			all[i].Config = &c
		}
	}
	return func(dst []breaker.Status) []breaker.Status { return append(dst, all...) }
}
