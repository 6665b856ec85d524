package telemetry

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	dto "github.com/prometheus/client_model/go"

	"breakwater.dev/breaker"
	"breakwater.dev/policy"
)

// wired is a real engine whose transitions and statuses are shown.
type wired struct {
	*Telemetry
	engine *breaker.Engine
	now    atomic.Int64
}

func newWired() *wired {
	w := &wired{}
	w.Telemetry = New(Options{Wall: wall, Log: slog.New(slog.DiscardHandler), Breakers: func(dst []breaker.Status) []breaker.Status {
		return w.engine.AppendSnapshot(dst, breaker.Instant(w.now.Load()))
	}})
	w.engine = breaker.NewEngine(breaker.Options{Listen: w.ObserveTransition})
	return w
}

func (w *wired) apply(revision string, keys ...string) {
	set := setOf(revision, keys...)
	w.Apply(set, start)
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
		for _, f := range own(t, w.Telemetry) {
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

// TestScrapeWhileBusy: scrapes and requests stay whole while calls run, breakers
// trip and policies change.
func TestScrapeWhileBusy(t *testing.T) {
	w := newWired()
	w.apply("0", "a", "b", "c")
	handler := w.Handler()
	stop := make(chan struct{})
	var busy sync.WaitGroup
	for _, name := range []string{"a", "b", "c"} {
		busy.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
					w.call(breaker.Key{Upstream: name}, breaker.Outcome(n/5%2))
				}
			}
		})
	}
	busy.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
				w.apply("with b", "a", "b", "c")
				w.Refused(io.ErrUnexpectedEOF, start)
				w.apply("without b", "a", "c")
			}
		}
	})
	for range 15 {
		for _, path := range []string{"/metrics", "/breakers", "/health/dependencies", "/health/services", "/config", "/"} {
			rec := httptest.NewRecorder()
			handler.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
			if rec.Code != http.StatusOK && path != "/health/dependencies" {
				t.Errorf("GET %s = %d: %s", path, rec.Code, rec.Body)
			}
		}
		checkSeries(t, own(t, w.Telemetry))
	}
	close(stop)
	busy.Wait()
}

// checkSeries: a and c are always there, b comes and goes whole, and buckets add up.
func checkSeries(t *testing.T, families []*dto.MetricFamily) {
	t.Helper()
	breakers := 0
	for _, f := range families {
		switch name := f.GetName(); name {
		case "circuit_breaker_requests_total":
			breakers = len(f.GetMetric())
		case "circuit_breaker_response_duration_seconds":
			for _, m := range f.GetMetric() {
				h := m.GetHistogram()
				if last := h.GetBucket()[len(h.GetBucket())-1]; last.GetCumulativeCount() > h.GetSampleCount() {
					t.Errorf("%v: a bucket has more than the count", m)
				}
			}
		}
	}
	if breakers != 2 && breakers != 3 {
		t.Errorf("%d breakers are shown; must be 2 or 3", breakers)
	}
	for _, f := range families {
		name := f.GetName()
		if !strings.HasPrefix(name, "circuit_breaker_") || strings.HasSuffix(name, "_ratio") || name == "circuit_breaker_episode_start_timestamp_seconds" { // not always there
			continue
		}
		per := 1
		if name == "circuit_breaker_transitions_total" {
			per = edgesFromStart()
		}
		got := len(f.GetMetric())
		if name == "circuit_breaker_transitions_total" {
			got -= restorations(f)
		}
		if got != per*breakers {
			t.Errorf("%s has %d series for %d breakers", name, got, breakers)
		}
	}
}

// restorations is how many series tell of breakers that were added again, which have none before that happens.
func restorations(f *dto.MetricFamily) (n int) {
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == "reason" && l.GetValue() == breaker.Restored.String() {
				n++
			}
		}
	}
	return n
}

// edgesFromStart is how many changes of state have a series before they happen.
func edgesFromStart() int {
	n := 0
	for _, e := range breaker.Edges() {
		if e.Reason.ByRule() || e.Reason == breaker.PolicyChanged {
			n++
		}
	}
	return n
}

// TestEveryConfigFieldIsShown: a field that is added to the breaker's Config has
// to appear in its JSON.
func TestEveryConfigFieldIsShown(t *testing.T) {
	text := func(c breaker.Config) string {
		b, err := json.Marshal(describeConfig(&c))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	before := text(breaker.DefaultConfig())
	for i := range reflect.TypeFor[breaker.Config]().NumField() {
		c := breaker.DefaultConfig()
		switch f := reflect.ValueOf(&c).Elem().Field(i); {
		case f.CanInt():
			f.SetInt(f.Int() + int64(time.Second))
		case f.CanUint():
			f.SetUint(f.Uint() + 1)
		default:
			t.Fatalf("field %s is of a kind that this test does not know", reflect.TypeFor[breaker.Config]().Field(i).Name)
		}
		if text(c) == before {
			t.Errorf("%s is not shown", reflect.TypeFor[breaker.Config]().Field(i).Name)
		}
	}
}

// TestScopeOfNodes: each proxy has a breaker, pages show them, and the metrics have
// one series for all, however many proxies there are.
func TestScopeOfNodes(t *testing.T) {
	w := newWired()
	set := setOf("1", "a")
	set.Upstreams[0].Routes[0].Breaker.Spec.PerNode = true
	w.Apply(set, start)
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
		if got := lines(t, w.Telemetry, strings.TrimRight(want, "0123456789\n")); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	for path, want := range map[string]string{
		"/breakers":            "a a@shop-1 a@shop-2 a@shop-3",
		"/breakers?state=open": "a a@shop-2",
		"/breakers/a@shop-2":   "a@shop-2",
	} {
		rec := httptest.NewRecorder()
		w.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
		var keys []string
		for _, m := range regexp.MustCompile(`"key": "([^"]*)"`).FindAllStringSubmatch(rec.Body.String(), -1) {
			keys = append(keys, m[1])
		}
		if got := strings.Join(keys, " "); got != want {
			t.Errorf("GET %s has %q, want %q", path, got, want)
		}
	}
}

// policyOf has n breakers, each of an upstream's route.
func policyOf(n int) *policy.Set {
	set := &policy.Set{Revision: "busy"}
	for i := range n {
		spec := specOf(fmt.Sprintf("service-%06d/checkout", i))
		set.Upstreams = append(set.Upstreams, &policy.Upstream{
			Name: spec.Key.Upstream, Routes: []policy.Route{{Name: spec.Key.Route, Breaker: &policy.Breaker{Spec: spec}}},
		})
	}
	return set
}

// busy has the breakers of set, each of which has had calls.
func busy(set *policy.Set) *wired {
	w := newWired()
	w.Apply(set, start)
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
