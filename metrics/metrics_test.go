package metrics

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"breakwater.dev/breaker"
	"breakwater.dev/internal/exposition"
	"breakwater.dev/internal/typical"
)

func TestGoAndProcessMetrics(t *testing.T) {
	families := exposition.All(t, showing(these()))
	for _, name := range []string{"go_goroutines", "process_cpu_seconds_total"} {
		if !slices.ContainsFunc(families, func(f *dto.MetricFamily) bool { return f.GetName() == name }) {
			t.Errorf("%s is missing", name)
		}
	}
}

// TestPolicyChange: breakers in both policies go on, a breaker that is only in the old one
// vanishes, and one that comes back starts at 0.
func TestPolicyChange(t *testing.T) {
	exported := showing(these(breaker.Status{Key: breaker.Key{Upstream: "a"}}, breaker.Status{Key: breaker.Key{Upstream: "b"}}))
	call := func() {
		exported.ObserveCalls(breaker.Key{Upstream: "a"}, time.Second, 1)
		exported.ObserveCalls(breaker.Key{Upstream: "b"}, time.Second, 1)
	}
	steps := []struct {
		policy []string
		want   string
	}{
		{nil, ""},
		{[]string{"a", "b"}, "a 1 b 1 "},
		{[]string{"a"}, "a 2 "},
		{[]string{"b", "a"}, "a 3 b 1 "},
	}
	for i, step := range steps {
		exported.Apply(typical.Set(fmt.Sprint(i), step.policy...), typical.Start)
		call()
		const count = "circuit_breaker_response_duration_seconds_count"
		got := strings.NewReplacer(count+`{route="",service="`, "", `"}`, "", "\n", " ").Replace(exposition.Lines(t, exported, count))
		if got != step.want {
			t.Errorf("after policy %v: calls %q, want %q", step.policy, got, step.want)
		}
	}
}

// TestEveryEdge: each change of state has its counter, also where a proxy's own breaker
// changes. A change that neither a rule nor a policy makes is not there before it happens.
func TestEveryEdge(t *testing.T) {
	key := breaker.Key{Upstream: "a", Route: "r"}
	exported := showing(these(breaker.Status{Key: key}))
	exported.Apply(typical.Set("1", "a/r"), typical.Start)
	line := func(e breaker.Edge, n int) string {
		return fmt.Sprintf("circuit_breaker_transitions_total{from=%q,reason=%q,route=\"r\",service=\"a\",to=%q} %d\n", e.From, e.Reason, e.To, n)
	}
	var before, after strings.Builder
	for _, e := range breaker.Edges() {
		if e.Reason.ByRule() || e.Reason == breaker.PolicyChanged {
			before.WriteString(line(e, 0))
		}
	}
	if got, want := exposition.Lines(t, exported, "circuit_breaker_transitions_total"), before.String(); got != want {
		t.Errorf("before any transition:\n%s\nwant\n%s", got, want)
	}
	for i, e := range breaker.Edges() {
		for n := range i + 1 {
			k := key
			if n > 0 {
				k.Node = fmt.Sprintf("proxy-%d", n)
			}
			exported.ObserveTransition(breaker.Transition{Key: k, Edge: e})
		}
		after.WriteString(line(e, i+1))
	}
	exported.ObserveTransition(breaker.Transition{Key: breaker.Key{Upstream: "stranger"}, Edge: breaker.Edges()[0]})
	exported.ObserveTransition(breaker.Transition{Key: breaker.Key{Upstream: "a"}, Edge: breaker.Edges()[0]})
	if got, want := exposition.Lines(t, exported, "circuit_breaker_transitions_total"), after.String(); got != want {
		t.Errorf("after them:\n%s\nwant\n%s", got, want)
	}
}

// TestRatioMinimum: with one call less than the minimum there is no ratio, nor
// with no calls where the minimum is 0.
func TestRatioMinimum(t *testing.T) {
	for _, c := range []struct {
		minimum uint32
		calls   uint64
		want    string
	}{
		{10, 9, ""}, {10, 10, "0.9 0.2 "}, {0, 0, ""},
	} {
		config := breaker.DefaultConfig()
		config.MinimumNumberOfCalls = c.minimum
		exported := showing(these(breaker.Status{
			Key: breaker.Key{Upstream: "a"}, Config: &config, Window: breaker.WindowCounts{Calls: c.calls, Failures: 9, Slow: 2},
		}))
		exported.Apply(typical.Set("1", "a"), typical.Start)
		got := strings.NewReplacer(`circuit_breaker_failure_ratio{route="",service="a"} `, "", `circuit_breaker_slow_call_ratio{route="",service="a"} `, "", "\n", " ").
			Replace(exposition.Lines(t, exported, "circuit_breaker_failure_ratio") + exposition.Lines(t, exported, "circuit_breaker_slow_call_ratio"))
		if got != c.want {
			t.Errorf("with %d calls of %d: ratios %q, want %q", c.calls, c.minimum, got, c.want)
		}
	}
}

// TestOpenDuration: each stretch of open is observed when it ends, and nothing else.
func TestOpenDuration(t *testing.T) {
	key := breaker.Key{Upstream: "a"}
	exported := showing(these(breaker.Status{Key: key}))
	exported.Apply(typical.Set("1", "a"), typical.Start)
	zero := exposition.Lines(t, exported, "circuit_breaker_open_duration_seconds")
	if got, want := strings.Count(zero, "} 0\n"), 10; got != want {
		t.Errorf("before any transition there are %d samples of 0, want %d:\n%s", got, want, zero)
	}
	fromOpen := 0
	for _, e := range breaker.Edges() {
		exported.ObserveTransition(breaker.Transition{Key: key, Edge: e, Since: at(time.Second), At: at(6 * time.Second)})
		if e.From == breaker.Open {
			fromOpen++
		}
	}
	var want strings.Builder
	for _, le := range []string{"1", "5", "15", "30", "60", "300", "600", "+Inf"} {
		n := fromOpen
		if le == "1" {
			n = 0
		}
		fmt.Fprintf(&want, "circuit_breaker_open_duration_seconds_bucket{route=\"\",service=\"a\",le=%q} %d\n", le, n)
	}
	fmt.Fprintf(&want, "circuit_breaker_open_duration_seconds_sum{route=\"\",service=\"a\"} %d\n", 5*fromOpen)
	fmt.Fprintf(&want, "circuit_breaker_open_duration_seconds_count{route=\"\",service=\"a\"} %d\n", fromOpen)
	if got := exposition.Lines(t, exported, "circuit_breaker_open_duration_seconds"); got != want.String() {
		t.Errorf("got\n%s\nwant\n%s", got, want.String())
	}
}

// TestHistogramAgreesWithLibrary: the same durations in the library's histogram, one
// by one, and in ours, by their weights, read the same.
func TestHistogramAgreesWithLibrary(t *testing.T) {
	exported := showing(these(breaker.Status{Key: breaker.Key{Upstream: "a"}}))
	exported.Apply(typical.Set("1", "a"), typical.Start)
	read := func() *dto.Histogram {
		for _, f := range exposition.Own(t, exported) {
			if f.GetName() == "circuit_breaker_response_duration_seconds" {
				return f.GetMetric()[0].GetHistogram()
			}
		}
		t.Fatal("the histogram is missing")
		return nil
	}
	var bounds []float64
	for _, b := range read().GetBucket() {
		bounds = append(bounds, b.GetUpperBound())
	}
	bounds = bounds[:len(bounds)-1] // the library adds the last, without bound, itself
	library := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "h", Help: "h", Buckets: bounds})
	weight := 0 // another each time, so that no two mistakes cancel out
	observe := func(d time.Duration) {
		for range weight {
			library.Observe(max(d, 0).Seconds())
		}
		exported.ObserveCalls(breaker.Key{Upstream: "a", Node: "any"}, d, uint64(weight))
		weight++
	}
	observe(time.Hour) // stands for nothing
	observe(-time.Second)
	for _, bound := range bounds {
		for _, off := range []time.Duration{-time.Microsecond, 0, time.Microsecond} {
			observe(time.Duration(bound*float64(time.Second)) + off)
		}
	}
	var want dto.Metric
	if err := library.Write(&want); err != nil {
		t.Fatal(err)
	}
	got := read()
	for i, b := range want.Histogram.GetBucket() {
		if g := got.GetBucket()[i]; g.GetUpperBound() != b.GetUpperBound() || g.GetCumulativeCount() != b.GetCumulativeCount() {
			t.Errorf("bucket %v, want %v", g, b)
		}
	}
	if g, w := got.GetSampleSum(), want.Histogram.GetSampleSum(); g < w-1e-9 || g > w+1e-9 {
		t.Errorf("sum %v, want %v", g, w)
	}
	if g, w := got.GetSampleCount(), want.Histogram.GetSampleCount(); g != w {
		t.Errorf("count %v, want %v", g, w)
	}
}

// TestObserveCallsAllocates nothing.
func TestObserveCallsAllocates(t *testing.T) {
	exported := showing(these())
	exported.Apply(typical.Policy(), typical.Start)
	key := breaker.Key{Upstream: "payments", Route: "charge"}
	if n := testing.AllocsPerRun(1000, func() {
		exported.ObserveCalls(key, 3*time.Millisecond, 1)
		exported.ObserveWholeCalls(key, 3*time.Millisecond, 1)
	}); n != 0 {
		t.Errorf("ObserveCalls allocates %v times; must be 0", n)
	}
}
