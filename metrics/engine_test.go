package metrics

import (
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	dto "github.com/prometheus/client_model/go"

	"breakwater.dev/breaker"
	"breakwater.dev/internal/exposition"
	"breakwater.dev/internal/typical"
	"breakwater.dev/policy"
)

// wired is a real engine with its metrics, and its [Clock].
type wired struct {
	*Metrics
	engine *breaker.Engine
	now    atomic.Int64
}

func newWired() *wired {
	w := &wired{}
	w.engine = breaker.NewEngine(breaker.Options{Listen: func(t breaker.Transition) { w.ObserveTransition(t) }})
	w.Metrics = New(Options{Engine: w.engine, Clock: w, Log: slog.New(slog.DiscardHandler)})
	return w
}

func (w *wired) Now() breaker.Instant             { return breaker.Instant(w.now.Load()) }
func (w *wired) Wall(i breaker.Instant) time.Time { return typical.Wall(i) }

func (w *wired) apply(revision string, keys ...string) {
	set := typical.Set(revision, keys...)
	w.Apply(set, typical.Start)
	w.engine.Apply(set.Specs(), breaker.Instant(w.now.Load()))
}

func (w *wired) call(key breaker.Key, o breaker.Outcome) {
	now := breaker.Instant(w.now.Add(int64(time.Millisecond)))
	if permit, d := w.engine.Acquire(key, now); d.Admitted {
		permit.Done(o, now.Add(time.Millisecond))
		w.ObserveCalls(key, time.Millisecond, 1)
	}
}

// TestBreakerTrips follows one breaker through the metrics, and the passing of
// time alone is seen by a scrape.
func TestBreakerTrips(t *testing.T) {
	w := newWired()
	w.apply("1", "a")
	key := breaker.Key{Upstream: "a"}
	metric := func(name string) *dto.Metric {
		t.Helper()
		for _, f := range exposition.Own(t, w.Metrics) {
			if f.GetName() == name {
				return f.GetMetric()[0]
			}
		}
		t.Fatalf("metric %s is missing", name)
		return nil
	}
	value := func(name string) float64 {
		m := metric(name)
		return m.GetGauge().GetValue() + m.GetCounter().GetValue()
	}
	for range 5 {
		w.call(key, breaker.Timeout)
	}
	w.call(key, breaker.Success)
	for name, want := range map[string]float64{
		"circuit_breaker_state": 2, "circuit_breaker_requests_total": 6, "circuit_breaker_rejected_total": 1,
		"circuit_breaker_failures_total": 5, "circuit_breaker_timeouts_total": 5, "circuit_breaker_successes_total": 0,
	} {
		if got := value(name); got != want {
			t.Errorf("after five timeouts %s = %v, want %v", name, got, want)
		}
	}
	w.now.Add(int64(31 * time.Second))
	if got := value("circuit_breaker_state"); got != 1 {
		t.Errorf("after the wait circuit_breaker_state = %v, want 1", got)
	}
	if h := metric("circuit_breaker_open_duration_seconds").GetHistogram(); h.GetSampleCount() != 1 || h.GetSampleSum() < 30 || h.GetSampleSum() > 31 {
		t.Errorf("open durations = %v; must be one, of 30 s to 31 s", h)
	}
}

// TestScopeOfNodes: each proxy has a breaker, and the metrics have one series for all, however many proxies there are.
func TestScopeOfNodes(t *testing.T) {
	w := newWired()
	set := typical.Set("1", "a")
	set.Upstreams[0].Routes[0].Breaker.Spec.PerNode = true
	w.Apply(set, typical.Start)
	w.engine.Apply(set.Specs(), 0)
	key := breaker.Key{Upstream: "a"}
	for i, node := range []string{"shop-1", "shop-2", "shop-3"} {
		now := breaker.Instant(w.now.Add(int64(time.Millisecond)))
		b := w.engine.Node(key, node, now)
		for range 5 * (i % 2) { // shop-2 trips
			permit, _ := b.Acquire(now)
			permit.Done(breaker.Failure, now)
		}
		permit, d := b.Acquire(now)
		if d.Admitted {
			permit.Done(breaker.Success, now)
		}
		w.ObserveCalls(breaker.Key{Upstream: "a", Node: node}, time.Second, 1)
	}
	for _, want := range []string{
		`circuit_breaker_requests_total{route="",service="a"} 8` + "\n",
		`circuit_breaker_rejected_total{fallback="response",route="",service="a"} 1` + "\n",
		`circuit_breaker_response_duration_seconds_count{route="",service="a"} 3` + "\n",
		`circuit_breaker_transitions_total{from="closed",reason="consecutive_failures",route="",service="a",to="open"} 1` + "\n",
	} {
		if got := exposition.Lines(t, w.Metrics, strings.TrimRight(want, "0123456789\n")); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// policyOf has n breakers, each of an upstream's route.
func policyOf(n int) *policy.Set {
	set := &policy.Set{Revision: "busy"}
	for i := range n {
		spec := typical.Spec(fmt.Sprintf("service-%06d/checkout", i))
		set.Upstreams = append(set.Upstreams, &policy.Upstream{
			Name: spec.Key.Upstream, Routes: []policy.Route{{Name: spec.Key.Route, Breaker: &policy.Breaker{Spec: spec}}},
		})
	}
	return set
}

// busy has the breakers of set, each of which has had calls.
func busy(set *policy.Set) *wired {
	w := newWired()
	w.Apply(set, typical.Start)
	w.engine.Apply(set.Specs(), 0)
	for range 12 {
		for _, u := range set.Upstreams {
			w.call(u.Routes[0].Breaker.Spec.Key, breaker.Success)
		}
	}
	return w
}

// TestMemoryOfAllParts: each of 100,000 breakers that have had calls costs at most
// 1,000 bytes beyond the policy: engine and metrics together, and the space in
// which a scrape has its snapshot.
func TestMemoryOfAllParts(t *testing.T) {
	const n = 100_000
	heap := func() uint64 {
		runtime.GC()
		runtime.GC() // the first leaves what pools hold
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	set := policyOf(n)
	before := heap()
	w := busy(set)
	kept := (heap() - before) / n
	scrape := uint64(unsafe.Sizeof(breaker.Status{}) + unsafe.Sizeof(uintptr(0)))
	if kept+scrape > 1000 {
		t.Errorf("%d bytes are kept for each breaker, and %d for its status in a scrape; must be at most 1,000", kept, scrape)
	}
	if got := len(w.engine.Snapshot(0)); got != n {
		t.Errorf("%d breakers, want %d", got, n)
	}
	runtime.KeepAlive(set)
}
