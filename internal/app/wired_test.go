package app

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"breakwater.dev/api"
	"breakwater.dev/breaker"
	"breakwater.dev/internal/exposition"
	"breakwater.dev/internal/httpapi"
	"breakwater.dev/internal/typical"
	"breakwater.dev/metrics"
	"breakwater.dev/policy"
)

const adminToken = "correct horse"

// wired is a real engine with its metrics and pages, and without proxies.
type wired struct {
	figures
	engine  *breaker.Engine
	metrics *metrics.Metrics
	api     *httpapi.API
	set     atomic.Pointer[policy.Set]
	now     atomic.Int64
}

func newWired() *wired {
	w := &wired{}
	w.engine = breaker.NewEngine(breaker.Options{Listen: func(t breaker.Transition) {
		w.metrics.ObserveTransition(t)
		w.api.ObserveTransition(t)
	}})
	log := slog.New(slog.DiscardHandler)
	w.metrics = metrics.New(metrics.Options{Engine: w.engine, Clock: w, Log: log})
	w.api = httpapi.New(httpapi.Options{
		Engine: w.engine, Clock: w, Deliver: func() {}, Policy: w.set.Load, History: w.metrics, Proxies: w, Outliers: w,
		Ready: func() []api.Condition { return nil }, Metrics: w.metrics, Log: log,
		Admin: httpapi.Admin{Token: func() (string, error) { return adminToken, nil }},
	})
	return w
}

// Now returns the virtual time, in place of the time of the figures.
func (w *wired) Now() breaker.Instant { return breaker.Instant(w.now.Load()) }

func (w *wired) apply(set *policy.Set) {
	w.metrics.Apply(set, typical.Start)
	w.engine.Apply(set.Specs(), w.Now())
	w.set.Store(set)
}

func (w *wired) call(key breaker.Key, o breaker.Outcome) {
	now := breaker.Instant(w.now.Add(int64(time.Millisecond)))
	if permit, d := w.engine.Acquire(key, now); d.Admitted {
		permit.Done(o, now.Add(time.Millisecond))
		w.metrics.ObserveCalls(key, time.Millisecond, 1)
	}
}

// compiled returns a policy with a breaker for each name.
func compiled(t *testing.T, names ...string) *policy.Set {
	t.Helper()
	var documents []string
	for _, name := range names {
		documents = append(documents, strings.ReplaceAll(good, "payments", name))
	}
	set, diagnostics := policy.Parse([]policy.File{{Name: "policy.yaml", Data: []byte(strings.Join(documents, "---\n"))}}, policy.BuiltinDefaults())
	if len(diagnostics) > 0 {
		t.Fatal(diagnostics)
	}
	return set
}

// TestScrapeWhileBusy shows that scrapes and pages are complete while calls run, breakers trip and policies change.
func TestScrapeWhileBusy(t *testing.T) {
	w := newWired()
	with, without := compiled(t, "a", "b", "c"), compiled(t, "a", "c")
	w.apply(with)
	handler := w.api.Handler()
	stop := make(chan struct{})
	var busy sync.WaitGroup
	until := func(do func(n int)) {
		busy.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
					do(n)
				}
			}
		})
	}
	for _, name := range []string{"a", "b", "c"} {
		until(func(n int) { w.call(breaker.Key{Upstream: name}, breaker.Outcome(n/5%2)) })
	}
	until(func(int) {
		w.apply(with)
		w.metrics.Refused(io.ErrUnexpectedEOF, typical.Start)
		w.apply(without)
	})
	for range 15 {
		for _, path := range []string{"/metrics", "/breakers", "/health/dependencies", "/health/services", "/config", "/"} {
			rec := httptest.NewRecorder()
			handler.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
			if rec.Code != http.StatusOK && path != "/health/dependencies" {
				t.Errorf("GET %s = %d: %s", path, rec.Code, rec.Body)
			}
		}
		checkSeries(t, exposition.Own(t, handler))
	}
	close(stop)
	busy.Wait()
}

// checkSeries checks that two or three breakers have all their series, and that no bucket has more calls than the
// histogram. The breakers a and c are always in the policy, and b is in some.
func checkSeries(t *testing.T, families []*exposition.Family) {
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
					t.Errorf("%v: a bucket has more calls than the histogram", m)
				}
			}
		}
	}
	if breakers != 2 && breakers != 3 {
		t.Errorf("%d breakers are shown; must be 2 or 3", breakers)
	}
	for _, f := range families {
		name := f.GetName()
		if !strings.HasPrefix(name, "circuit_breaker_") || strings.HasSuffix(name, "_ratio") || name == "circuit_breaker_episode_start_timestamp_seconds" { // has a series only at times
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

// restorations returns the number of series for the restoration of a breaker. Such a series begins with the restoration.
func restorations(f *exposition.Family) (n int) {
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == "reason" && l.GetValue() == breaker.Restored.String() {
				n++
			}
		}
	}
	return n
}

// edgesFromStart returns how many kinds of transitions have a series before they happen.
func edgesFromStart() int {
	n := 0
	for _, e := range breaker.Edges() {
		if e.Reason.ByRule() || e.Reason == breaker.PolicyChanged {
			n++
		}
	}
	return n
}

// TestPagesInAScopeOfNodes shows that pages have the breaker of each proxy when the scope is Node.
func TestPagesInAScopeOfNodes(t *testing.T) {
	w := newWired()
	set := typical.Set("1", "a")
	set.Upstreams[0].Routes[0].Breaker.Spec.PerNode = true
	w.apply(set)
	key := breaker.Key{Upstream: "a"}
	for i, node := range []string{"shop-1", "shop-2", "shop-3"} {
		now := breaker.Instant(w.now.Add(int64(time.Millisecond)))
		b := w.engine.Node(key, node, now)
		for range 5 * (i % 2) { // shop-2 trips
			permit, _ := b.Acquire(now)
			permit.Done(breaker.Failure, now)
		}
	}
	for path, want := range map[string]string{
		"/breakers":            "a a@shop-1 a@shop-2 a@shop-3",
		"/breakers?state=open": "a a@shop-2",
		"/breakers/a@shop-2":   "a@shop-2",
	} {
		rec := httptest.NewRecorder()
		w.api.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
		var keys []string
		for _, m := range regexp.MustCompile(`"key": "([^"]*)"`).FindAllStringSubmatch(rec.Body.String(), -1) {
			keys = append(keys, m[1])
		}
		if got := strings.Join(keys, " "); got != want {
			t.Errorf("GET %s has %q, want %q", path, got, want)
		}
	}
}

// TestByHandWithEngine shows that changes by hand to a real engine are in the response, in the metrics and in the
// transitions that followers get, and that the operator gets the engine's errors.
func TestByHandWithEngine(t *testing.T) {
	w := newWired()
	w.apply(typical.Set("1", "a"))
	server := httptest.NewServer(w.api.Handler())
	defer server.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client, err := api.New(api.Options{Server: server.URL, Token: adminToken, Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	stream, err := client.Follow(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	defer w.api.Close()
	drill := api.Force{State: api.Open, By: "alice", Reason: "a drill", For: 90 * time.Second}
	for _, step := range []struct {
		name string
		do   func() (api.Item, api.Answer, error)
		says []string // in the response
		err  string
		// state and forced are values in the metrics, and by is the operator in the transition.
		state, forced, by string
	}{
		{"force", func() (api.Item, api.Answer, error) { return client.Force(t.Context(), "a", drill) },
			[]string{`"state": "open"`, `"by": "alice"`, `"reason": "a drill"`, `"until": "2026-03-01T11:01:30Z"`, `"reason": "forced"`}, "", "2", "1", "alice"},
		{"reset", func() (api.Item, api.Answer, error) { return client.Reset(t.Context(), "a", "bob", "done") },
			[]string{`"state": "closed"`, `"forced": null`, `"by": "bob"`}, "", "0", "0", "bob"},
		{"reset an unknown breaker", func() (api.Item, api.Answer, error) { return client.Reset(t.Context(), "b", "bob", "done") },
			nil, `there is no breaker "b"`, "0", "0", ""},
	} {
		item, _, err := step.do()
		if (err == nil) != (step.err == "") || err != nil && err.Error() != step.err {
			t.Errorf("%s: %v, want %q", step.name, err, step.err)
		}
		for _, s := range step.says {
			if !strings.Contains(string(item.JSON), s) {
				t.Errorf("%s: the response has no %s:\n%s", step.name, s, item.JSON)
			}
		}
		got := exposition.Lines(t, w.metrics, "circuit_breaker_state{") + exposition.Lines(t, w.metrics, "circuit_breaker_forced{")
		if want := `circuit_breaker_state{route="",service="a"} ` + step.state + "\n" + `circuit_breaker_forced{route="",service="a"} ` + step.forced + "\n"; got != want {
			t.Errorf("%s: metrics\n%s\nwant\n%s", step.name, got, want)
		}
		if step.by == "" {
			continue
		}
		if e, err := stream.Next(); err != nil || e.By != step.by || step.by == "bob" && e.Cause.By != "alice" { // a reset names the operator whose change it ends
			t.Errorf("%s: followers got %+v, %v", step.name, e, err)
		}
	}
}
