package app

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	runtimev3 "github.com/envoyproxy/go-control-plane/envoy/service/runtime/v3"
	"google.golang.org/grpc"

	"breakwater.dev/breaker"
	"breakwater.dev/internal/gates"
	"breakwater.dev/policy"
	"breakwater.dev/wire"
	"breakwater.dev/xds"
)

// services are those that a server registers.
type services struct {
	runtime runtimev3.RuntimeDiscoveryServiceServer
}

func (s *services) RegisterService(_ *grpc.ServiceDesc, service any) {
	if r, ok := service.(runtimev3.RuntimeDiscoveryServiceServer); ok {
		s.runtime = r
	}
}

// layerStream is the stream of a proxy for its runtime layer.
type layerStream struct {
	grpc.ServerStream
	ctx context.Context
	in  chan *discoveryv3.DeltaDiscoveryRequest
	out chan *discoveryv3.DeltaDiscoveryResponse
}

func (s *layerStream) Context() context.Context { return s.ctx }

func (s *layerStream) Recv() (*discoveryv3.DeltaDiscoveryRequest, error) {
	select {
	case m := <-s.in:
		return m, nil
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
}

func (s *layerStream) Send(m *discoveryv3.DeltaDiscoveryResponse) error {
	s.out <- m
	return nil
}

// connect has a proxy with so many upstreams ask for its runtime layer, and take all that it is sent, until
// ctx is over.
func connect(ctx context.Context, a *app, n *corev3.Node) {
	var s services
	a.xds.Register(&s)
	st := &layerStream{ctx: ctx, in: make(chan *discoveryv3.DeltaDiscoveryRequest), out: make(chan *discoveryv3.DeltaDiscoveryResponse, 1)}
	go func() { _ = s.runtime.DeltaRuntime(st) }()
	st.in <- &discoveryv3.DeltaDiscoveryRequest{Node: n, TypeUrl: xds.RuntimeType, ResourceNamesSubscribe: []string{wire.RuntimeLayer}}
	go func() {
		for {
			select {
			case m := <-st.out:
				select {
				case st.in <- &discoveryv3.DeltaDiscoveryRequest{TypeUrl: m.TypeUrl, ResponseNonce: m.Nonce}:
				case <-ctx.Done():
				}
			case <-ctx.Done():
				return
			}
		}
	}()
}

// connections is a policy with one upstream whose calls are connections.
func connections(permits uint32) *policy.Set {
	c := breaker.DefaultConfig()
	c.ConsecutiveFailures, c.PermittedNumberOfCallsInHalfOpenState, c.MaxWaitDurationInHalfOpenState = 1, permits, time.Hour
	spec := breaker.Spec{Key: breaker.Key{Upstream: "db"}, Config: c, Lease: time.Minute}
	return &policy.Set{Upstreams: []*policy.Upstream{{
		Name: "db", Protocol: policy.TCP, Routes: []policy.Route{{Breaker: &policy.Breaker{Spec: spec, DataPath: policy.Adaptive}}},
	}}}
}

// TestConnectionsFromBeforeAreFound: a proxy has connections that a control plane does not know which was started
// after they were made. At the default settings, while the gates are published each second and the proxy says as
// often that it obeys them, it is given permits on top of them, however often its application calls.
func TestConnectionsFromBeforeAreFound(t *testing.T) {
	const before, permits = 4, 2
	for _, every := range []time.Duration{50, 300, 700, 1300, 2900} {
		every *= time.Millisecond
		t.Run(every.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, set, key := newApp(options(t, mesh), policy.BuiltinDefaults(), nil), connections(permits), breaker.Key{Upstream: "db"}
				defer a.xds.Close()
				connect(t.Context(), a, &corev3.Node{Id: "one"})
				a.engine.Apply(set.Specs(), a.clock.Now())
				a.gates.board.Apply(set, a.clock.Now())
				a.engine.Report(key, []breaker.Reported{{Outcome: breaker.Failure, At: a.clock.Now()}}, a.clock.Now())
				a.gates.board.Changed(key, 0)
				var refused breaker.Instant
				proxies := func(string) []gates.Proxy {
					is := a.gates.obeying.read("one")
					return []gates.Proxy{{Node: "one", Called: refused, Refused: refused, Obeys: is.gates, Told: is.told, Began: is.began}}
				}
				publish := func() {
					all, _ := a.gates.board.Gates(a.clock.Now(), proxies)
					g, err := xds.NewGates(all)
					must(t, err)
					a.xds.PublishGates(g, time.Time{})
				}
				publish()
				time.Sleep(set.Specs()[0].Config.WaitDurationInOpenState)
				a.engine.Advance(a.clock.Now())
				limit, steps := uint32(0), 0
				for ; limit <= before && steps < 30_000/50; steps++ {
					if time.Duration(steps)*50*time.Millisecond%every == 0 {
						refused = a.clock.Now()
					}
					if steps%20 == 0 {
						publish()
					}
					time.Sleep(50 * time.Millisecond)
					synctest.Wait()
					limit, _ = a.gates.obeying.read("one").gates.Connections(key, "one")
				}
				if limit <= before || limit > before+permits {
					t.Errorf("after %d steps of 50 ms the proxy may have %d connections, want those %d from before and some of %d permits", steps, limit, before, permits)
				}
			})
		})
	}
}

// TestObeyingIsForgotten: of proxies that are gone nothing is kept, also where no upstream's calls are connections.
func TestObeyingIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newApp(options(t, mesh), policy.BuiltinDefaults(), nil)
		defer a.xds.Close()
		run, stop := context.WithCancel(t.Context())
		defer stop()
		go a.gates.run(run)
		ctx, leave := context.WithCancel(t.Context())
		connect(t.Context(), a, &corev3.Node{Id: "stays"})
		for i := range 100 {
			connect(ctx, a, &corev3.Node{Id: fmt.Sprint("leaves-", i)})
		}
		kept := func(want int) {
			t.Helper()
			synctest.Wait()
			if got := len(a.gates.obeying.nodes); got != want {
				t.Fatalf("it is kept what %d proxies obey, want %d", got, want)
			}
		}
		kept(101)
		leave()
		time.Sleep(forgettingPeriod)
		kept(1)
	})
}

// BenchmarkProxies looks up who reaches an upstream whose calls are connections, as is done each second for each
// breaker of one in half-open.
func BenchmarkProxies(b *testing.B) {
	var listed []any
	for i := range 500 {
		listed = append(listed, fmt.Sprint("upstream-", i))
	}
	a := newApp(Options{Log: slog.New(slog.DiscardHandler)}, policy.BuiltinDefaults(), nil)
	defer a.xds.Close()
	for i := range 1000 {
		connect(b.Context(), a, proxy(fmt.Sprint("shop-", i), "shop", listed...))
	}
	for len(a.xds.Nodes()) < 1000 {
		runtime.Gosched()
	}
	for b.Loop() {
		proxies := a.gates.proxies()
		for i := range 10 {
			if got := len(proxies(fmt.Sprint("upstream-", i))); got != 1000 {
				b.Fatalf("%d proxies reach it, want 1000", got)
			}
		}
	}
}

// TestProxies: of those that are connected, the ones that call an upstream, each once, and those that may not; and
// those that left and obey gates still.
func TestProxies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, set := newApp(options(t, mesh), policy.BuiltinDefaults(), nil), connections(1)
		defer a.xds.Close()
		set.Upstreams[0].Callers = []string{"shop"}
		a.gates.apply(set)
		ctx, leave := context.WithCancel(t.Context())
		for _, n := range []*corev3.Node{proxy("a", "shop"), proxy("a", "shop"), proxy("b", "shop", "db", "x"), proxy("c", "shop", "x"), proxy("d", "thief", "db")} {
			connect(t.Context(), a, n)
		}
		connect(ctx, a, proxy("e", "shop"))
		synctest.Wait()
		leave()
		a.gates.obeying.note("e", nil, a.clock.Now().Add(time.Second), a.clock.Now())
		synctest.Wait()
		var got []string
		for _, p := range a.gates.proxies()("db") {
			got = append(got, fmt.Sprintf("%s left=%t barred=%t", p.Node, p.Left, p.Barred))
		}
		want := []string{"a left=false barred=false", "b left=false barred=false", "d left=false barred=true", "e left=true barred=false"}
		if !slices.Equal(got, want) {
			t.Errorf("the proxies are %q, want %q", got, want)
		}
	})
}
