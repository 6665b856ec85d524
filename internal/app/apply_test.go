package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"

	"breakwater.dev/breaker"
	"breakwater.dev/endpoints"
	"breakwater.dev/internal/driver"
	"breakwater.dev/internal/exposition"
	"breakwater.dev/internal/guard"
	"breakwater.dev/internal/testca"
	"breakwater.dev/outlier"
	"breakwater.dev/policy"
	"breakwater.dev/xds"
)

// fresh is an upstream that a change of the policy adds, and that only shop may call.
const fresh = `---
apiVersion: breakwater.dev/v1alpha1
kind: Upstream
metadata: {name: fresh}
spec: {endpoints: [{address: 10.0.0.10, port: 80}], callers: [shop]}
`

// ejecting is a policy of outlier detection for all proxies together.
const ejecting = `---
apiVersion: breakwater.dev/v1alpha1
kind: BreakerPolicy
metadata: {name: adaptive}
spec:
  targetRefs: [{kind: Upstream, name: adaptive}]
  breaker: {waitDurationInOpenState: 60s}
  outlierDetection: {consecutive5xxErrors: 1, scope: Mesh, maxEjectionPercent: 100%}
`

// bench is a control plane that serves proxies, and that applies policies step by step.
type bench struct {
	*app
	t *testing.T
	// proxy is the connection of a proxy of the workload thief, and friend of a proxy of the workload shop.
	proxy, friend *grpc.ClientConn
}

func newBench(t *testing.T, text string) *bench {
	t.Helper()
	o := options(t, text)
	authority := authority{testca.New(t)}
	authority.Issue(t, "server", "127.0.0.1")
	o.TLS = TLS{CertFile: authority.Path("server.pem"), KeyFile: authority.Path("server.key"), ClientCAFile: authority.Path("ca.pem")}
	rules, err := guard.ParseRules(rule)
	must(t, err)
	o.NodeIdentity = rule
	b := &bench{app: made(t, o, rules), t: t}
	t.Cleanup(b.publishGates(t.Context()))
	must(t, b.reload())
	server, done, err := b.grpcServer()
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	serving := make(chan error, 1)
	go func() { serving <- server.Serve(b.guard.Listen(l)) }()
	s := &served{xds: l.Addr().String(), authority: authority}
	t.Cleanup(func() {
		b.xds.Close()
		server.Stop()
		must(t, <-serving)
		done()
	})
	b.proxy, b.friend = s.dial(t, authority.client(t, "thief", thief)), s.dial(t, authority.client(t, "shop", shop))
	_, err = configure(t, b.proxy, proxy("thief-0", "thief"))
	must(t, err)
	return b
}

// apply applies a policy by steps in a given order. It calls then after the step with the name after.
func (b *bench) apply(text string, order []string, after string, then func()) {
	b.t.Helper()
	set, diagnostics := policy.Parse([]policy.File{{Name: "policy.yaml", Data: []byte(text)}}, policy.BuiltinDefaults())
	if len(diagnostics) > 0 {
		b.t.Fatal(diagnostics)
	}
	publication, err := b.xds.Prepare(set, endpoints.FromSet(set))
	must(b.t, err)
	c, steps := &change{set: set, publication: publication}, b.steps()
	for _, name := range order {
		i := slices.IndexFunc(steps, func(s step) bool { return s.name == name })
		runSteps(steps[i:i+1], c)
		if name == after {
			then()
		}
	}
}

// names returns the names of the steps, in their order.
func (b *bench) names() (names []string) {
	for _, s := range b.steps() {
		names = append(names, s.name)
	}
	return names
}

// trip opens a breaker.
func (b *bench) trip(upstream string) {
	now := b.clock.Now()
	for range 5 {
		b.engine.Report(breaker.Key{Upstream: upstream}, []breaker.Reported{{Outcome: breaker.Failure, At: now}}, now)
	}
	b.driver.Deliver()
}

// awaitGate waits until the gate of an open breaker is published. The publisher does that on a goroutine of its own, which
// must not come after a later step.
func (b *bench) awaitGate() {
	b.t.Helper()
	eventually(b.t, "the gate of an open breaker", func() error {
		if n := b.gates.Counts().Open; n != 1 {
			return fmt.Errorf("%d gates are open, want 1", n)
		}
		return nil
	})
}

func (b *bench) status(upstream string) breaker.Status {
	s, _ := b.engine.Status(breaker.Key{Upstream: upstream}, b.clock.Now())
	return s
}

func (b *bench) scrape() string { return exposition.Scrape(b.t, b.metrics) }

// endpoints returns the endpoints of an upstream as proxies get them.
func (b *bench) endpoints(upstream string) []*endpointv3.LocalityLbEndpoints {
	ctx, cancel := context.WithTimeout(b.t.Context(), 10*time.Second)
	defer cancel()
	st, err := discoveryv3.NewAggregatedDiscoveryServiceClient(b.friend).DeltaAggregatedResources(ctx)
	must(b.t, err)
	must(b.t, st.Send(&discoveryv3.DeltaDiscoveryRequest{Node: proxy("shop-0", "shop"), TypeUrl: xds.ClusterType}))
	_, err = st.Recv()
	must(b.t, err)
	must(b.t, st.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: xds.EndpointType, ResourceNamesSubscribe: []string{upstream}}))
	m, err := st.Recv()
	must(b.t, err)
	assignment := &endpointv3.ClusterLoadAssignment{}
	must(b.t, m.GetResources()[0].GetResource().UnmarshalTo(assignment))
	return assignment.GetEndpoints()
}

// unhealthy reports whether proxies get an endpoint of an upstream that is marked as ejected.
func (b *bench) unhealthy(upstream string) bool {
	return slices.ContainsFunc(b.endpoints(upstream), func(l *endpointv3.LocalityLbEndpoints) bool {
		return slices.ContainsFunc(l.GetLbEndpoints(), func(e *endpointv3.LbEndpoint) bool { return e.GetHealthStatus() == corev3.HealthStatus_UNHEALTHY })
	})
}

// swaps has, for each step and each step that must come before it, the harm that the wrong order does.
var swaps = []struct {
	step, before string
	first, then  string // the policy before and after the change
	prepare      func(*bench)
	at           func(*bench) // called right after the step; nil: harmed is called then
	harmed       func(*bench) bool
}{
	{
		step: "engine", before: "answers", first: mesh, then: mesh + fresh,
		harmed: func(b *bench) bool {
			answer := httptest.NewRecorder()
			b.api.Handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/breakers/fresh", nil))
			return answer.Code == http.StatusOK && !strings.Contains(answer.Body.String(), `"data_path": "Adaptive"`)
		},
	},
	{
		step: "engine", before: "metrics", first: mesh, then: mesh + fresh,
		at: func(b *bench) { b.trip("fresh") },
		harmed: func(b *bench) bool {
			return strings.Contains(b.scrape(), `circuit_breaker_transitions_total{from="closed",reason="consecutive_failures",route="",service="fresh",to="open"} 0`)
		},
	},
	{
		step: "ext_proc", before: "access", first: mesh, then: mesh + fresh,
		at:     func(b *bench) { must(b.t, fail(b.t, b.proxy, "fresh", "")) },
		harmed: func(b *bench) bool { return b.status("fresh").Counts.Failures > 0 },
	},
	{
		step: "feed", before: "access", first: mesh, then: mesh + fresh,
		at: func(b *bench) {
			must(b.t, reportEntries(b.t, b.proxy, proxy("thief-0", "thief"), failures("fresh", 1, time.Now())))
		},
		harmed: func(b *bench) bool { return b.status("fresh").Counts.Failures > 0 },
	},
	{
		step: "gates", before: "engine", first: mesh, then: mesh,
		prepare: func(b *bench) { // a breaker that is open when it is removed is open when it comes back
			b.trip("adaptive")
			b.awaitGate()
			b.apply(strings.ReplaceAll(mesh, "name: adaptive", "name: another"), b.names(), "", nil)
		},
		at:     func(*bench) {},
		harmed: func(b *bench) bool { return b.status("adaptive").State == breaker.Open && b.gates.Counts().Open == 0 },
	},
	{
		step: "proxies", before: "gates", first: mesh, then: mesh,
		prepare: func(b *bench) {
			b.trip("adaptive")
			b.awaitGate()
			b.apply(strings.ReplaceAll(mesh, "name: adaptive", "name: another"), b.names(), "", nil)
		},
		harmed: func(b *bench) bool { return b.gates.Counts().Open == 0 },
	},
	{
		step: "proxies", before: "ext_proc", first: mesh, then: mesh + fresh,
		at: func(b *bench) {
			_, _, err := ask(b.t, b.friend, "fresh", "")
			must(b.t, err)
		},
		harmed: func(b *bench) bool { return b.extproc.Counts().UnknownBreakers > 0 },
	},
	{
		step: "proxies", before: "feed", first: mesh, then: mesh + strings.Replace(fresh, ", callers: [shop]", "", 1),
		at: func(b *bench) {
			must(b.t, reportEntries(b.t, b.proxy, proxy("thief-0", "thief"), failures("fresh", 1, time.Now())))
		},
		harmed: func(b *bench) bool { return b.feed.Counts().Skipped > 0 },
	},
	{
		step: "proxies", before: "outlier detection", first: mesh + ejecting, then: mesh,
		prepare: func(b *bench) {
			b.outliers.report("adaptive", []outlier.Outcome{{Endpoint: netip.MustParseAddrPort("10.0.0.8:80"), Class: outlier.ServerError, At: b.clock.Now(), Calls: 1, OneIn: 1}})
			b.outliers.detector.Sweep(b.clock.Now())
			if !b.unhealthy("adaptive") {
				b.t.Fatal("the endpoint is not ejected")
			}
		},
		harmed: func(b *bench) bool { return b.unhealthy("adaptive") },
	},
}

// TestOrderOfSteps shows that each step that must come before another one does, that the other one has the reason, and
// that the wrong order does harm.
func TestOrderOfSteps(t *testing.T) {
	shown := map[string]bool{}
	for _, s := range swaps {
		t.Run(s.step+" after "+s.before, func(t *testing.T) {
			shown[s.step+" after "+s.before] = true
			for _, wrong := range []bool{false, true} {
				b := newBench(t, s.first)
				if s.prepare != nil {
					s.prepare(b)
				}
				order, harmed := b.names(), false
				if wrong {
					order = slices.DeleteFunc(order, func(name string) bool { return name == s.before })
					order = slices.Insert(order, slices.Index(order, s.step)+1, s.before)
				}
				b.apply(s.then, order, s.step, func() {
					if s.at != nil {
						s.at(b)
					} else {
						harmed = s.harmed(b)
					}
				})
				if s.at != nil {
					harmed = s.harmed(b)
				}
				if harmed != wrong {
					t.Errorf("the order %q does harm: %t, want %t", order, harmed, wrong)
				}
			}
		})
	}
	a := made(t, options(t, mesh), nil)
	a.xds.Close()
	done := map[string]bool{}
	for _, s := range a.steps() {
		for before, reason := range s.after {
			if !done[before] || reason == "" {
				t.Errorf("%s comes before %s, or there is no reason for the order", s.name, before)
			}
			if !shown[s.name+" after "+before] {
				t.Errorf("no test shows the harm if %s comes before %s", s.name, before)
			}
		}
		done[s.name] = true
	}
}

// slowLog is a log whose writer blocks at a transition until it is released.
type slowLog struct {
	slog.Handler
	stuck, release chan struct{}
	once           *sync.Once // closes stuck only once: on a slow machine, the end of the wait may be a second transition
}

// Enabled implements [slog.Handler].
func (slowLog) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements [slog.Handler].
func (l slowLog) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "breaker changed state" {
		l.once.Do(func() { close(l.stuck) })
		<-l.release
	}
	return nil
}

// TestOrderOfObservers shows that, while the log blocks, proxies have the gate of a breaker that has tripped and the metrics
// count its transition. In another order they do not.
func TestOrderOfObservers(t *testing.T) {
	for _, tt := range []struct {
		name          string
		first         string // the observers that are moved to the front
		gates, counts bool
	}{{"as they are", "", true, true}, {"the log first", "log", false, false}, {"the metrics last", "gates, store, log", true, false}} {
		t.Run(tt.name, func(t *testing.T) {
			o := options(t, mesh)
			l := slowLog{slog.DiscardHandler, make(chan struct{}), make(chan struct{}), new(sync.Once)}
			o.Log = slog.New(l)
			b := &bench{app: publishing(t, o), t: t}
			defer b.xds.Close()
			observers := b.observers()
			for _, one := range observers {
				if one.Reason == "" {
					t.Errorf("%s has no reason for its place", one.Name)
				}
			}
			slices.SortStableFunc(observers, func(x, y driver.Observer) int {
				last := func(o driver.Observer) bool { return !strings.Contains(tt.first, o.Name) }
				switch {
				case last(x) == last(y):
					return 0
				case last(x):
					return 1
				}
				return -1
			})
			b.driver.Observe(observers)
			must(t, b.reload())
			go b.trip("adaptive")
			<-l.stuck
			if tt.gates {
				eventually(t, "the gate is published", func() error {
					if b.gates.Counts().Open == 0 {
						return errors.New("there is no gate")
					}
					return nil
				})
			}
			count := `circuit_breaker_transitions_total{from="closed",reason="consecutive_failures",route="",service="adaptive",to="open"} 1`
			if got := strings.Contains(b.scrape(), count); got != tt.counts {
				t.Errorf("the metrics count the transition: %t, want %t", got, tt.counts)
			}
			if got := b.gates.Counts().Open > 0; got != tt.gates {
				t.Errorf("there is a gate: %t, want %t", got, tt.gates)
			}
			close(l.release)
			b.driver.Deliver() // waits for the other delivery
		})
	}
}
