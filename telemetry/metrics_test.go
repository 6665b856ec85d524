package telemetry

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"golang.org/x/tools/txtar"

	"breakwater.dev/breaker"
	"breakwater.dev/internal/golden"
)

// own gathers what both collectors give, with every check that the library has.
func own(t *testing.T, tel *Telemetry) []*dto.MetricFamily {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(breakerCollector{tel}, controlPlaneCollector{tel})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// TestCatalogue holds names, types, labels and help of all metrics in one file.
func TestCatalogue(t *testing.T) {
	golden.Run(t, "testdata/catalogue.txtar", func(t *testing.T, _ []txtar.File) map[string]string {
		var b strings.Builder
		for _, f := range own(t, typical()) {
			var labels []string
			for _, l := range f.GetMetric()[0].GetLabel() {
				labels = append(labels, l.GetName())
			}
			fmt.Fprintf(&b, "%s{%s} %s\n\t%s\n", f.GetName(), strings.Join(labels, ","), strings.ToLower(f.GetType().String()), f.GetHelp())
		}
		return map[string]string{"catalogue": b.String()}
	})
}

// TestCatalogueIsWhole: what the collectors describe is what the catalogue's mesh shows.
func TestCatalogueIsWhole(t *testing.T) {
	described := make(chan *prometheus.Desc, 100)
	tel := typical()
	breakerCollector{tel}.Describe(described)
	controlPlaneCollector{tel}.Describe(described)
	close(described)
	if got, want := len(own(t, tel)), len(described); got != want {
		t.Errorf("the typical mesh shows %d metrics of %d", got, want)
	}
}

func TestMetricsLint(t *testing.T) {
	problems, err := promlint.NewWithMetricFamilies(own(t, typical())).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestGoAndProcessMetrics(t *testing.T) {
	families, err := New(Options{}).registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"go_goroutines", "process_cpu_seconds_total"} {
		if !slices.ContainsFunc(families, func(f *dto.MetricFamily) bool { return f.GetName() == name }) {
			t.Errorf("%s is missing", name)
		}
	}
}

// expect compares the metrics called names with text.
func expect(t *testing.T, tel *Telemetry, text string, names ...string) {
	t.Helper()
	if err := testutil.GatherAndCompare(tel.registry, strings.NewReader(text), names...); err != nil {
		t.Error(err)
	}
}

// TestPolicyChange: what both policies have goes on, what only the old one has
// vanishes, and what comes back starts at 0.
func TestPolicyChange(t *testing.T) {
	all := []breaker.Status{{Key: breaker.Key{Upstream: "a"}}, {Key: breaker.Key{Upstream: "b"}}}
	tel := New(Options{Breakers: func() []breaker.Status { return all }})
	call := func() {
		tel.ObserveCall(breaker.Key{Upstream: "a"}, time.Second)
		tel.ObserveCall(breaker.Key{Upstream: "b"}, time.Second)
	}
	count := func() map[string]uint64 {
		got := map[string]uint64{}
		for _, f := range own(t, tel) {
			if f.GetName() == "circuit_breaker_response_duration_seconds" {
				for _, m := range f.GetMetric() {
					got[m.GetLabel()[1].GetValue()] = m.GetHistogram().GetSampleCount()
				}
			}
		}
		return got
	}
	steps := []struct {
		policy []string
		want   string
	}{
		{nil, "map[]"},
		{[]string{"a", "b"}, "map[a:1 b:1]"},
		{[]string{"a"}, "map[a:2]"},
		{[]string{"b", "a"}, "map[a:3 b:1]"},
	}
	for i, step := range steps {
		tel.Apply(setOf(fmt.Sprint(i), step.policy...), start)
		call()
		if got := fmt.Sprint(count()); got != step.want {
			t.Errorf("after policy %v: calls %s, want %s", step.policy, got, step.want)
		}
	}
}

// TestEveryEdge: each change of state there is has its counter.
func TestEveryEdge(t *testing.T) {
	key := breaker.Key{Upstream: "a", Route: "r"}
	tel := New(Options{Breakers: func() []breaker.Status { return []breaker.Status{{Key: key}} }})
	tel.Apply(setOf("1", "a/r"), start)
	var want strings.Builder
	want.WriteString("# HELP circuit_breaker_transitions_total Changes of state, by their reason.\n# TYPE circuit_breaker_transitions_total counter\n")
	for i, e := range breaker.Edges() {
		for range i + 1 {
			tel.ObserveTransition(breaker.Transition{Key: key, Edge: e})
		}
		fmt.Fprintf(&want, "circuit_breaker_transitions_total{from=%q,reason=%q,route=\"r\",service=\"a\",to=%q} %d\n", e.From, e.Reason, e.To, i+1)
	}
	tel.ObserveTransition(breaker.Transition{Key: breaker.Key{Upstream: "stranger"}, Edge: breaker.Edges()[0]})
	expect(t, tel, want.String(), "circuit_breaker_transitions_total")
}

// TestFailureRatioMinimum: with one call less than the minimum there is none.
func TestFailureRatioMinimum(t *testing.T) {
	st := breaker.Status{Key: breaker.Key{Upstream: "a"}, Config: breaker.DefaultConfig()}
	tel := New(Options{Breakers: func() []breaker.Status { return []breaker.Status{st} }})
	tel.Apply(setOf("1", "a"), start)
	const name = "circuit_breaker_failure_ratio"
	st.Window = breaker.WindowCounts{Calls: 9, Failures: 9}
	if n, err := testutil.GatherAndCount(tel.registry, name); err != nil || n != 0 {
		t.Errorf("with 9 calls of 10: %d series, error %v; want none", n, err)
	}
	st.Window.Calls = 10
	if n, err := testutil.GatherAndCount(tel.registry, name); err != nil || n != 1 {
		t.Errorf("with 10 calls of 10: %d series, error %v; want 1", n, err)
	}
}

// TestOpenDuration: only leaving open is observed, and how long it really was.
func TestOpenDuration(t *testing.T) {
	key := breaker.Key{Upstream: "a"}
	tel := New(Options{Breakers: func() []breaker.Status { return []breaker.Status{{Key: key}} }})
	tel.Apply(setOf("1", "a"), start)
	for _, e := range breaker.Edges() {
		tel.ObserveTransition(breaker.Transition{Key: key, Edge: e, Since: at(time.Second), At: at(6 * time.Second)})
	}
	expect(t, tel, `# HELP circuit_breaker_open_duration_seconds How long the breaker was open, observed when it left that state.
# TYPE circuit_breaker_open_duration_seconds histogram
circuit_breaker_open_duration_seconds_bucket{route="",service="a",le="1"} 0
circuit_breaker_open_duration_seconds_bucket{route="",service="a",le="5"} 2
circuit_breaker_open_duration_seconds_bucket{route="",service="a",le="15"} 2
circuit_breaker_open_duration_seconds_bucket{route="",service="a",le="30"} 2
circuit_breaker_open_duration_seconds_bucket{route="",service="a",le="60"} 2
circuit_breaker_open_duration_seconds_bucket{route="",service="a",le="300"} 2
circuit_breaker_open_duration_seconds_bucket{route="",service="a",le="600"} 2
circuit_breaker_open_duration_seconds_bucket{route="",service="a",le="+Inf"} 2
circuit_breaker_open_duration_seconds_sum{route="",service="a"} 10
circuit_breaker_open_duration_seconds_count{route="",service="a"} 2
`, "circuit_breaker_open_duration_seconds")
}

// TestHistogramAgreesWithLibrary: the same durations in the library's histogram
// and in ours read the same.
func TestHistogramAgreesWithLibrary(t *testing.T) {
	library := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "h", Help: "h", Buckets: callBounds})
	ours := newHistogram(callBounds)
	for _, bound := range callBounds {
		for _, off := range []time.Duration{-time.Microsecond, 0, time.Microsecond} {
			d := time.Duration(bound*float64(time.Second)) + off
			library.Observe(d.Seconds())
			ours.observe(d)
		}
	}
	library.Observe(0)
	ours.observe(-time.Second)
	var want, got dto.Metric
	if err := library.Write(&want); err != nil {
		t.Fatal(err)
	}
	if err := (distribution{histogram: &ours}).Write(&got); err != nil {
		t.Fatal(err)
	}
	if g, w := got.Histogram.GetSampleSum(), want.Histogram.GetSampleSum(); g < w-1e-9 || g > w+1e-9 {
		t.Errorf("sum %v, want %v", g, w)
	}
	got.Histogram.SampleSum, want.Histogram.SampleSum, want.Histogram.CreatedTimestamp = nil, nil, nil
	if g, w := got.String(), want.String(); g != w {
		t.Errorf("got  %s\nwant %s", g, w)
	}
}

// TestObserveCallAllocates nothing.
func TestObserveCallAllocates(t *testing.T) {
	tel := typical()
	key := breaker.Key{Upstream: "payments", Route: "charge"}
	if n := testing.AllocsPerRun(1000, func() { tel.ObserveCall(key, 3*time.Millisecond) }); n != 0 {
		t.Errorf("ObserveCall allocates %v times; must be 0", n)
	}
}
