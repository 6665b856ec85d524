package app

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"golang.org/x/tools/txtar"

	"breakwater.dev/api"
	"breakwater.dev/breaker"
	"breakwater.dev/extproc"
	"breakwater.dev/feed"
	"breakwater.dev/gate/publisher"
	"breakwater.dev/internal/exposition"
	"breakwater.dev/internal/golden"
	"breakwater.dev/internal/guard"
	"breakwater.dev/internal/handshakes"
	"breakwater.dev/internal/httpapi"
	"breakwater.dev/internal/replicas"
	"breakwater.dev/internal/typical"
	"breakwater.dev/metrics"
	"breakwater.dev/outlier"
	"breakwater.dev/policy"
	"breakwater.dev/store"
	"breakwater.dev/store/shared"
	"breakwater.dev/xds/discovery"
)

// figures has all values that a scrape shows: breakers, ejections, and the figures of each server.
type figures struct {
	version     string
	breakers    func([]breaker.Status) []breaker.Status // nil: there are none
	outliers    []outlier.Status
	xds         discovery.Stats
	extproc     extproc.Counts
	feed        feed.Counts
	guard       guard.Stats
	store       prometheus.Collector
	gates       publisher.Counts
	propagation propagation
}

func (f *figures) AppendSnapshot(dst []breaker.Status, _ breaker.Instant) []breaker.Status {
	if f.breakers == nil {
		return dst
	}
	return f.breakers(dst)
}
func (*figures) Force(breaker.Key, breaker.Override, breaker.Instant) error { return nil }
func (*figures) Reset(breaker.Key, string, string, breaker.Instant) error   { return nil }
func (*figures) Now() breaker.Instant                                       { return 0 }
func (*figures) Wall(i breaker.Instant) time.Time                           { return typical.Wall(i) }
func (f *figures) Snapshot() []outlier.Status                               { return f.outliers }
func (f *figures) Status() []api.Node                                       { return f.xds.Nodes }
func (f *figures) Count() int                                               { return len(f.xds.Nodes) }
func (*figures) Calls(string) ([]string, bool)                              { return nil, false }

// show returns the metrics of the figures, and the handler of the HTTP API that serves them.
func (f *figures) show() (*metrics.Metrics, http.Handler) {
	if f.store == nil {
		f.store = (*store.Keeper)(nil)
	}
	if f.propagation.Histogram == nil {
		f.propagation = newPropagation()
	}
	log := slog.New(slog.DiscardHandler)
	m := metrics.New(metrics.Options{Version: f.version, Engine: f, Clock: f, Outliers: f, Log: log})
	a := httpapi.New(httpapi.Options{
		Version: f.version, Engine: f, Clock: f, Deliver: func() {}, Policy: func() *policy.Set { return nil }, History: m,
		Proxies: f, Outliers: f, Ready: func() []api.Condition { return nil }, Metrics: m, Log: log,
	})
	m.Register(f.xds, f.extproc, f.feed, f.guard, f.store, f.gates, f.propagation, handshakes.New(log, time.Now), a)
	return m, a.Handler()
}

// typicalFigures shows the figures of the typical mesh, with calls and with a policy in force.
func typicalFigures() (*metrics.Metrics, http.Handler) {
	f := figures{
		version: "v1.2.3", breakers: typical.Breakers, outliers: typical.Outliers(),
		xds: discovery.Stats{Nodes: typical.Nodes(), Types: map[string]discovery.TypeCounts{
			typical.ClusterType: {Pushes: 4, PushBytes: 4096}, typical.RouteType: {Pushes: 3, PushBytes: 900, NACKs: 1},
		}, LayerBytes: 412, Rollouts: discovery.RolloutCounts{Refused: 1, Waiting: 6}},
		extproc: extproc.Counts{Streams: 3, Admitted: 1200, Rejected: 40, UnknownBreakers: 2, Errors: 1},
		feed:    feed.Counts{Streams: 4, Messages: 700, Bytes: 1 << 20, Reported: 3000, Rejected: 250, Skipped: 60, Invalid: 1, Dropped: 9, Refused: 8},
		guard:   guard.Stats{Held: 3 << 20, Limit: 144 << 20, Refused: []guard.Refused{{Service: "xds", Reason: "identity", Total: 2}, {Service: "connection", Reason: "idle"}}},
		store:   store.Stats{Writes: 12, Failures: 1, Bytes: 4096, LastSuccess: typical.Start},
		gates:   publisher.Counts{Open: 3, Probing: 1, Ramping: 2, Connections: 5},
	}
	m, handler := f.show()
	m.Apply(typical.Policy(), typical.Start)
	for _, tr := range typical.Transitions() {
		m.ObserveTransition(tr)
	}
	for _, d := range []time.Duration{4 * time.Millisecond, 5 * time.Millisecond, 180 * time.Millisecond, 45 * time.Second} {
		m.ObserveCalls(breaker.Key{Upstream: "catalog"}, d, 1)
	}
	m.ObserveCalls(breaker.Key{Upstream: "catalog"}, 20*time.Millisecond, 32)
	for _, d := range []time.Duration{-time.Second, 1900 * time.Microsecond, 2 * time.Millisecond, 40 * time.Millisecond} {
		f.propagation.record(d)
	}
	return m, handler
}

// meshes has the meshes of the golden files, by the names in the files.
var meshes = map[string]func() http.Handler{
	"empty": func() http.Handler {
		_, handler := new(figures).show()
		return handler
	},
	"typical": func() http.Handler {
		_, handler := typicalFigures()
		return handler
	},
	"refused": func() http.Handler { return refusedFigures("refused") },
	"failed":  func() http.Handler { return refusedFigures("failed") },
}

// refusedFigures shows the typical figures after a refused load. The refusal is one of [typical.Refusals].
func refusedFigures(refusal string) http.Handler {
	m, handler := typicalFigures()
	m.Refused(typical.Refusals()[refusal], typical.Start.Add(time.Minute))
	return handler
}

// ownMetrics matches lines about the process of the test, which differ at each run.
var ownMetrics = regexp.MustCompile(`(?m)^(# (HELP|TYPE) )?(go|process)_.*\n`)

// TestMetrics shows the metrics of a mesh, scraped over a real connection. A word after the request selects the lines that
// have it.
func TestMetrics(t *testing.T) {
	golden.Run(t, "testdata/http/*.txtar", func(t *testing.T, in []txtar.File) map[string]string {
		out := map[string]string{}
		for _, f := range in {
			server := httptest.NewServer(meshes[f.Name]())
			for line := range strings.Lines(string(f.Data)) {
				fields := append(strings.Fields(line), "")
				got := get(t, server.Client(), server.URL+fields[1])
				var wanted strings.Builder
				for line := range strings.Lines(got) {
					if strings.Contains(line, fields[2]) {
						wanted.WriteString(line)
					}
				}
				out[f.Name+": "+strings.TrimSpace(line)] = wanted.String()
			}
			server.Close()
		}
		return out
	})
}

// get returns a response as text, with some of its headers.
func get(t *testing.T, client *http.Client, url string) string {
	t.Helper()
	response, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintln(&b, response.Status)
	for _, name := range []string{"Cache-Control", "Content-Type", "X-Content-Type-Options"} {
		fmt.Fprintf(&b, "%s: %s\n", name, response.Header.Get(name))
	}
	fmt.Fprintf(&b, "\n%s", ownMetrics.ReplaceAll(body, nil))
	return b.String()
}

// TestCatalogue shows names, types, labels and help of all metrics.
func TestCatalogue(t *testing.T) {
	golden.Run(t, "testdata/catalogue.txtar", func(t *testing.T, _ []txtar.File) map[string]string {
		var b strings.Builder
		all := withReplicas(t)
		slices.SortFunc(all, func(x, y *exposition.Family) int { return strings.Compare(x.GetName(), y.GetName()) })
		for _, f := range all {
			var labels []string
			for _, l := range f.GetMetric()[0].GetLabel() {
				labels = append(labels, l.GetName())
			}
			fmt.Fprintf(&b, "%s{%s} %s\n\t%s\n", f.GetName(), strings.Join(labels, ","), strings.ToLower(f.GetType().String()), f.GetHelp())
		}
		return map[string]string{"catalogue": b.String()}
	})
}

// TestCatalogueIsComplete shows that a real control plane has exactly the metrics of the catalogue.
func TestCatalogueIsComplete(t *testing.T) {
	names := func(handler http.Handler) []string {
		var names []string
		for _, f := range exposition.Own(t, handler) {
			if !strings.HasPrefix(f.GetName(), "circuit_breaker_") && !strings.HasPrefix(f.GetName(), "breakwater_outlier_") { // they exist only with breakers
				names = append(names, f.GetName())
			}
		}
		return names
	}
	o := options(t, good)
	o.StateDir = filepath.Join(t.TempDir(), "state")
	a := publishing(t, o)
	if err := a.reload(); err != nil {
		t.Fatal(err)
	}
	stop, err := a.restore()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if diff := cmp.Diff(names(meshes["typical"]()), names(a.api.Handler())); diff != "" {
		t.Errorf("(-catalogue +control plane)\n%s", diff)
	}
}

func TestMetricsLint(t *testing.T) {
	problems, err := promlint.NewWithMetricFamilies(withReplicas(t)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// documented matches a row of docs/metrics.md: the name, then the labels and the type.
var documented = regexp.MustCompile("(?m)^\\| `([a-z_]+)(.*?)` \\| ([a-z]+) \\|")

// TestMetricsAreDocumented shows that docs/metrics.md has each metric once, with its labels and its type, and no other
// metric.
func TestMetricsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for _, m := range documented.FindAllStringSubmatch(string(page), -1) {
		if _, twice := rows[m[1]]; twice {
			t.Errorf("docs/metrics.md has %s twice; remove one row", m[1])
		}
		rows[m[1]] = fmt.Sprintf("| `%s%s` | %s |", m[1], m[2], m[3])
	}
	for _, f := range withReplicas(t) {
		labels := ""
		if l := f.GetMetric()[0].GetLabel(); len(l) > 0 {
			var names []string
			for _, pair := range l {
				names = append(names, pair.GetName())
			}
			labels = "{" + strings.Join(names, ",") + "}"
		}
		want := fmt.Sprintf("| `%s%s` | %s |", f.GetName(), labels, strings.ToLower(f.GetType().String()))
		if got := rows[f.GetName()]; got != want {
			t.Errorf("docs/metrics.md should have a row that begins with\n\t%s\nit has %q", want, got)
		}
		delete(rows, f.GetName())
	}
	if len(rows) > 0 {
		t.Errorf("remove from docs/metrics.md the metrics that do not exist: %v", slices.Sorted(maps.Keys(rows)))
	}
}

// withReplicas returns the metrics that a control plane has when there are others.
func withReplicas(t *testing.T) []*exposition.Family {
	t.Helper()
	all := exposition.Own(t, meshes["typical"]())
	var own []string
	for _, f := range all {
		own = append(own, f.GetName())
	}
	o := options(t, good)
	o.Replicas = replicas.Config{Store: shared.Options{URL: "redis://127.0.0.1:1", Name: "breakwater"}, Address: "127.0.0.1:1"}
	a := made(t, o, nil)
	t.Cleanup(a.replicas.Close)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(a.replicas.Collectors()...)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return append(all, slices.DeleteFunc(families, func(f *exposition.Family) bool { return slices.Contains(own, f.GetName()) })...)
}

// TestEveryFigureIsShown shows that each field of a server's figures has a sample of its own, so that a new field cannot be
// forgotten.
func TestEveryFigureIsShown(t *testing.T) {
	shown := map[string]string{} // by the sample that a field changed
	for _, status := range []prometheus.Collector{&extproc.Counts{}, &feed.Counts{}, &store.Stats{}, &publisher.Counts{}, &guard.Stats{}} {
		fields := reflect.ValueOf(status).Elem()
		for i := range fields.NumField() {
			name := fields.Type().String() + "." + fields.Type().Field(i).Name
			switch f := fields.Field(i); {
			case f.CanInt():
				f.SetInt(271828)
			case f.CanUint():
				f.SetUint(271828)
			case f.Type() == reflect.TypeFor[time.Time]():
				f.Set(reflect.ValueOf(time.Unix(271828, 0)))
			case f.Type() == reflect.TypeFor[[]guard.Refused]():
				f.Set(reflect.ValueOf([]guard.Refused{{Service: "a", Reason: "b", Total: 271828}}))
			default:
				t.Fatalf("%s has a type that this test does not know", name)
			}
			var samples []string
			for line := range strings.Lines(exposition.Samples(t, status)) {
				if sample, found := strings.CutSuffix(line, " 271828\n"); found {
					samples = append(samples, sample)
				}
			}
			fields.Field(i).SetZero()
			if len(samples) != 1 || shown[samples[0]] != "" {
				t.Errorf("%s is shown by the samples %v; must be one, which shows no other field", name, samples)
				continue
			}
			shown[samples[0]] = name
		}
	}
	if got, want := len(shown), 26; got != want {
		t.Errorf("%d fields are shown, want %d: %v", got, want, slices.Sorted(maps.Values(shown)))
	}
}

// TestFromTheStart shows that every counter of a server has a sample before the first event.
func TestFromTheStart(t *testing.T) {
	a := made(t, options(t, good), nil)
	for _, tt := range []struct {
		collector prometheus.Collector
		want      int
		others    string // the one sample that is not 0
	}{
		{a.extproc, 5, ""}, {a.feed, 10, ""}, {a.gates, 4, ""}, {a.handshakes, len(handshakes.Reasons), ""}, {a.api, 3, ""}, {a.xds, 34, "breakwater_gate_layer_bytes"},
		{a.guard, 20, "breakwater_proxies_held_limit_bytes"}, {a.keeper, 1, ""},
	} {
		samples := exposition.Samples(t, tt.collector)
		if got := strings.Count(samples, "\n"); got != tt.want {
			t.Errorf("%T: %d samples, want %d:\n%s", tt.collector, got, tt.want, samples)
		}
		for line := range strings.Lines(samples) {
			if !strings.HasSuffix(line, " 0\n") && !strings.HasPrefix(line, tt.others+" ") {
				t.Errorf("%T: %q; must be 0", tt.collector, line)
			}
		}
	}
}

// TestGatePropagation shows that the usual time, 2 ms, and the times around it have buckets of their own.
func TestGatePropagation(t *testing.T) {
	p := newPropagation()
	for _, d := range []time.Duration{-time.Hour, 900 * time.Microsecond, 2 * time.Millisecond, 2001 * time.Microsecond, 8 * time.Millisecond, time.Minute} {
		p.record(d)
	}
	var want strings.Builder
	for _, b := range []struct {
		le string
		n  int
	}{
		{"0.001", 2}, {"0.0015", 2}, {"0.002", 3}, {"0.003", 4}, {"0.005", 4}, {"0.01", 5}, {"0.025", 5}, {"0.05", 5},
		{"0.1", 5}, {"0.25", 5}, {"1", 5}, {"2.5", 5}, {"10", 5}, {"+Inf", 6},
	} {
		fmt.Fprintf(&want, "breakwater_gate_propagation_seconds_bucket{le=%q} %d\n", b.le, b.n)
	}
	want.WriteString("breakwater_gate_propagation_seconds_sum 60.012901\nbreakwater_gate_propagation_seconds_count 6\n")
	if diff := cmp.Diff(want.String(), exposition.Samples(t, p)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
