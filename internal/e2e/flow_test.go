package e2e

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"golang.org/x/tools/txtar"

	"breakwater.dev/breaker"
	"breakwater.dev/extproc"
	"breakwater.dev/feed"
	"breakwater.dev/gate"
	"breakwater.dev/gate/publisher"
	"breakwater.dev/internal/driver"
	"breakwater.dev/internal/golden"
	"breakwater.dev/metrics"
	"breakwater.dev/outlier"
	"breakwater.dev/policy"
	"breakwater.dev/wire"
	"breakwater.dev/xds"
)

// TestFlow shows the whole story of one breaker. The parts are real, and connected as in the app. Only the proxy and the clock
// are played.
func TestFlow(t *testing.T) {
	golden.Run(t, "testdata/flow*.txtar", func(t *testing.T, in []txtar.File) (out map[string]string) {
		synctest.Test(t, func(t *testing.T) {
			f := newFlow(t, string(in[0].Data))
			for i, line := range strings.Split(strings.TrimSpace(string(in[1].Data)), "\n") {
				if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
					f.schedule(t, i+1, line)
				}
			}
			f.run()
			out = map[string]string{"story": f.story.String(), "metrics": f.metrics(t), "envoy.yaml": f.resources(t)}
			if f.adaptive {
				out["layers.yaml"], out["log.yaml"] = f.layers.String(), f.proxy.written.String()
			}
		})
		return out
	})
}

// flow is a control plane and one proxy in virtual time, which is the time of a bubble of testing/synctest.
type flow struct {
	set      *policy.Set
	adaptive bool // a breaker of the policy has the data path Adaptive
	driver   *driver.Driver
	engine   *breaker.Engine // the driver's engine
	extproc  *extproc.Server
	feed     *feed.Server
	gates    *publisher.Publisher
	shown    *metrics.Metrics
	proxy    *playedProxy
	events   []event // future events by time; events of the same time are in the order of the script
	stop     func()  // ends the goroutines of the control plane, and waits for them

	mu     sync.Mutex // guards the fields below
	story  strings.Builder
	layers strings.Builder // each runtime layer that the proxy got
}

// event is something that happens at a virtual time.
type event struct {
	at breaker.Instant
	do func()
}

func newFlow(t *testing.T, text string) *flow {
	t.Helper()
	set, diagnostics := policy.Parse([]policy.File{{Name: "policy.yaml", Data: []byte(text)}}, policy.BuiltinDefaults())
	if len(diagnostics) > 0 {
		t.Fatal(diagnostics)
	}
	f := &flow{set: set, driver: driver.New()}
	for _, r := range set.Breakers() {
		f.adaptive = f.adaptive || r.Breaker.DataPath == policy.Adaptive
	}
	f.engine = f.driver.Engine
	f.shown = metrics.New(metrics.Options{Engine: f.engine, Clock: f})
	f.extproc = extproc.NewServer(extproc.Options{
		Decider:      f.engine.Decider(),
		Now:          f.now,
		Observe:      func(key breaker.Key, d time.Duration) { f.shown.ObserveCalls(key, d, 1) },
		ObserveTotal: func(key breaker.Key, d time.Duration) { f.shown.ObserveWholeCalls(key, d, 1) },
	})
	f.feed = feed.NewServer(feed.Options{
		Decider: f.engine.Decider(), Now: f.now,
		Observe: func(key breaker.Key, took, lasted time.Duration, n uint64) {
			f.shown.ObserveCalls(key, took, n)
			f.shown.ObserveWholeCalls(key, lasted, n)
		},
		Answered:  f.shown.ObserveAnswered,
		LogAll:    func(key breaker.Key) { f.gates.LogAll(key) },
		Endpoints: func(string, []outlier.Outcome) {},
		Log:       slog.New(slog.DiscardHandler),
	})
	f.gates = publisher.New(publisher.Options{
		Breakers: f.engine.Decider(), Feed: f, Proxies: f, Clock: f.driver.Clock, Log: slog.New(slog.DiscardHandler),
	})
	f.start(t)
	return f
}

// start puts the policy in force, in the same order as the app, and connects the proxy.
func (f *flow) start(t *testing.T) {
	t.Helper()
	f.driver.Observe([]driver.Observer{
		{Name: "story", Observe: f.observe},
		{Name: "gates", Observe: f.gates.Observe},
		{Name: "metrics", Observe: f.shown.ObserveTransition},
	})
	f.proxy = newPlayedProxy(t, f)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { f.driver.Run(ctx) })
	running.Go(func() { f.gates.Run(ctx) })
	f.stop = func() {
		cancel()
		running.Wait()
	}
	f.shown.Apply(f.set, time.Unix(0, 0))
	f.engine.Apply(f.set.Specs(), f.now())
	f.extproc.Apply(f.set)
	f.feed.Apply(f.set)
	f.feed.Applied(f.proxy.id, nil, f.now()) // the proxy has no layer yet
	f.gates.Apply(f.set)
}

// Now and Wall are the clock of the metrics, which counts from 1970.
func (f *flow) Now() breaker.Instant             { return f.now() }
func (f *flow) Wall(i breaker.Instant) time.Time { return time.Unix(0, int64(i)) }

func (f *flow) now() breaker.Instant { return f.driver.Clock.Now() }

// observe notes a transition.
func (f *flow) observe(tr breaker.Transition) {
	seen, wait := "", ""
	if w := tr.Window; w.Calls > 0 {
		seen = fmt.Sprintf(", after %d calls, %d failed, %d in a row", w.Calls, w.Failures, w.Run)
	}
	if tr.Wait > 0 {
		wait = fmt.Sprintf(", for %s", tr.Wait)
	}
	f.tell("%s is %s: %s%s%s", tr.Key, tr.Edge.To, tr.Edge.Reason, seen, wait)
}

// Sample implements [publisher.Feed].
func (f *flow) Sample(now breaker.Instant) map[breaker.Key]wire.Sampling {
	return f.feed.Sample(now)
}

// Rate implements [publisher.Feed].
func (f *flow) Rate(key breaker.Key) float64 { return f.feed.Rate(key) }

// Links implements [publisher.Feed]. The stories have no TCP.
func (f *flow) Links(string, string) gate.Links { return gate.Links{} }

// Connected implements [publisher.Proxies].
func (f *flow) Connected() []gate.Node { return []gate.Node{{ID: f.proxy.id, Workload: "shop"}} }

// PublishGates implements [publisher.Proxies]: the proxy applies its layer at once.
func (f *flow) PublishGates(set *gate.Set, _ time.Time) error {
	layers, err := xds.NewLayers(set)
	if err != nil {
		return err
	}
	layer := layers.Whole(f.proxy.id)
	if !f.proxy.apply(layer) {
		return nil
	}
	f.feed.Applied(f.proxy.id, gate.Uniform(set), f.now())
	f.gates.Applied(f.proxy.id, gate.Uniform(set), f.now())
	if !f.adaptive {
		return nil // no route looks for the keys
	}
	yaml, err := xds.Render(xds.Resources{xds.RuntimeType: new(xds.Pool).List([]*xds.Resource{layer})}, "yaml")
	if err != nil {
		return err
	}
	keys := *f.proxy.layer.Load()
	text := "an empty runtime layer"
	if len(keys) > 0 {
		text = "a runtime layer"
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		text += fmt.Sprintf("\n%9s %s %v%%", "", key, keys[key].GetStructValue().GetFields()["numerator"].GetNumberValue()*100/wire.Million)
	}
	f.tell("the proxy gets %s", text)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.layers.Len() > 0 {
		f.layers.WriteString("---\n")
	}
	fmt.Fprintf(&f.layers, "# from %.2fs on\n%s", time.Duration(f.now()).Seconds(), yaml)
	return nil
}

// tell appends a line to the story.
func (f *flow) tell(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fmt.Fprintf(&f.story, "%6.1fs  %s\n", time.Duration(f.now()).Seconds(), fmt.Sprintf(format, args...))
}

// schedule reads a line of the script, such as "12.5s  3 x payments -> 500 in 100ms". A result can also be "timeout", or
// "gone" for a client that leaves.
func (f *flow) schedule(t *testing.T, number int, line string) {
	t.Helper()
	var at, took string
	var n int
	var key, result string
	if _, err := fmt.Sscanf(line, "%s %d x %s -> %s in %s", &at, &n, &key, &result, &took); err != nil {
		t.Fatalf("line %d of the script, %q: %v", number, line, err)
	}
	begin, err1 := time.ParseDuration(at)
	lasts, err2 := time.ParseDuration(took)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatalf("line %d of the script: %v", number, err)
	}
	f.add(breaker.Instant(begin), func() { f.calls(t, n, key, result, lasts) })
}

// add adds an event.
func (f *flow) add(at breaker.Instant, do func()) {
	f.events = append(f.events, event{at, do})
	slices.SortStableFunc(f.events, func(a, b event) int { return cmp.Compare(a.at, b.at) })
}

// run runs all events in order. At each time, the control plane first does the work that is due at that time.
func (f *flow) run() {
	for len(f.events) > 0 {
		next := f.events[0]
		f.events = f.events[1:]
		<-time.After(next.at.Sub(f.now()))
		synctest.Wait()
		next.do()
		synctest.Wait() // until the servers have read all messages
	}
	f.proxy.log.close()
	f.stop()
}

// calls begins n calls at once, and notes how many of them are admitted and rejected, and by which routes.
func (f *flow) calls(t *testing.T, n int, key, result string, lasts time.Duration) {
	t.Helper()
	admitted, rejected := map[string][]*playedCall{}, map[string][]*playedCall{}
	for range n {
		c := f.proxy.call(t, key)
		if c.reply == nil {
			admitted[c.route] = append(admitted[c.route], c)
			continue
		}
		rejected[c.route] = append(rejected[c.route], c)
		c.end(t, "")
	}
	for _, route := range slices.Sorted(maps.Keys(admitted)) {
		calls := admitted[route]
		f.tell("%d x %s: admitted, will end with %s", len(calls), route, result)
		f.add(f.now().Add(lasts), func() {
			for _, c := range calls {
				c.end(t, result)
			}
		})
	}
	for _, route := range slices.Sorted(maps.Keys(rejected)) {
		f.tell("%d x %s: rejected with %s", len(rejected[route]), route, rejected[route][0].reply.text)
	}
}

// retryAfter returns the header retry-after of a response, in words.
func retryAfter(r *extprocv3.ImmediateResponse) string {
	for _, h := range r.GetHeaders().GetSetHeaders() {
		if h.GetHeader().GetKey() == "retry-after" {
			return ", retry after " + string(h.GetHeader().GetRawValue()) + "s"
		}
	}
	return ""
}

// metrics returns the series of breakers that are not 0, without buckets.
func (f *flow) metrics(t *testing.T) string {
	t.Helper()
	w := httptest.NewRecorder()
	f.shown.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	var lines []string
	for _, line := range strings.Split(w.Body.String(), "\n") {
		if strings.HasPrefix(line, "circuit_breaker_") && !strings.HasSuffix(line, " 0") && !strings.Contains(line, "_bucket{") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

// resources returns the resources of the proxy as YAML, without its listener.
func (f *flow) resources(t *testing.T) string {
	t.Helper()
	rs, err := xds.Translate(f.set, xds.DefaultListen)
	if err != nil {
		t.Fatal(err)
	}
	text, err := xds.Render(xds.Resources{
		xds.ClusterType: rs[xds.ClusterType], xds.EndpointType: rs[xds.EndpointType], xds.VirtualHostType: rs[xds.VirtualHostType],
	}, "yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
