package discovery

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"testing"
	"testing/synctest"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	runtimev3 "github.com/envoyproxy/go-control-plane/envoy/service/runtime/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"breakwater.dev/endpoints"
	"breakwater.dev/internal/guard"
	"breakwater.dev/wire"
	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery/internal/protocol"
	"breakwater.dev/xds/discovery/internal/publication"
)

// translations counts for how many kinds of proxies there is a translation of what is published.
func translations(s *Server) int { return s.publisher.Current().Views() }

func TestNodesOfOneViewShareATranslation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		publish(t, s, a, b)
		for range 3 {
			connectDelta(t, s, only("b", "a", "b")).subscribe(xds.ClusterType)
			connectDelta(t, s, only("a", "b")).subscribe(xds.ClusterType)
			connectDelta(t, s, nodeOf("app-2", nil)).subscribe(xds.ClusterType)
		}
		if got := translations(s); got != 2 {
			t.Errorf("%d translations, want one for all upstreams and one for the list", got)
		}
	})
}

// resourcesOf returns the resources that a node gets.
func resourcesOf(p *Publication, n Node) (xds.Resources, error) {
	c, err := p.For(new(publication.Views).Join(n))
	if err != nil {
		return nil, err
	}
	return c.Resources, nil
}

func TestPrepareThatFailsChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		publish(t, s, a)
		p := connectDelta(t, s, nodeOf("app-1", nil))
		p.start("a")
		before := s.publisher.Current()
		bad := setOf(t, a)
		bad.Upstreams[0].Name = wire.ControlPlaneCluster
		if got, err := s.Prepare(bad, endpoints.FromSet(bad)); err == nil || got != nil {
			t.Fatalf("Prepare = %v, %v; want an error and nothing else", got, err)
		}
		p.gets()
		if s.publisher.Current() != before {
			t.Error("the publication was replaced")
		}
	})
}

// A set that only a connected proxy's view shows to be wrong is refused as well.
func TestPrepareLooksAtConnectedNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		publish(t, s, a)
		connectDelta(t, s, only("a")).subscribe(xds.ClusterType)
		p := prepare(t, s, setOf(t, a, b))
		if p.Views() != 1 {
			t.Errorf("%d views prepared, want the proxy's", p.Views())
		}
	})
}

func TestStatusAndCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		if got, ok := s.Calls("shop"); ok || len(got) > 0 {
			t.Errorf("Calls without a proxy = %v, %v", got, ok)
		}
		publish(t, s, a, b)
		connectDelta(t, s, nodeOf("silent", nil))
		connectDelta(t, s, only("b", "z")).start("b")
		if got, ok := s.Calls("shop"); !ok || !slices.Equal(got, []string{"b", "z"}) {
			t.Errorf("Calls = %v, %v; want what the proxy lists", got, ok)
		}
		all := connectDelta(t, s, nodeOf("all", nil))
		all.subscribe(xds.ClusterType)
		if got, ok := s.Calls("shop"); !ok || !slices.Equal(got, []string{"a", "b", "z"}) {
			t.Errorf("Calls = %v, %v; want all", got, ok)
		}
		nodes := s.Status()
		if len(nodes) != 2 || nodes[0].ID != "all" || nodes[1].ID != "app-1" {
			t.Fatalf("status: %+v; want the two that have introduced themselves", nodes)
		}
		if typ := nodes[0].Types; len(typ) != 1 || typ[0].Resources != 2 || !typ[0].LastACK.IsZero() {
			t.Errorf("a proxy that has not answered: %+v", typ)
		}
		if typ := nodes[1].Types; len(typ) != 5 || typ[0].Resources != 1 || typ[0].LastACK.IsZero() {
			t.Errorf("a proxy that has taken all: %+v", typ)
		}
		same(t, waiting(s), []string{"all clusters"})
		all.cancel()
		synctest.Wait()
		if len(s.Status()) != 1 {
			t.Error("a proxy that left is still shown")
		}
	})
}

func TestEndOfAStream(t *testing.T) {
	tests := map[string]struct {
		end  func(*deltaProxy, *Server)
		want codes.Code
	}{
		"the proxy leaves": {func(p *deltaProxy, _ *Server) { close(p.in) }, codes.OK},
		"the server closes": {func(_ *deltaProxy, s *Server) {
			s.Close()
			s.Close()
		}, codes.Unavailable},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer()
				publish(t, s, a)
				p := connectDelta(t, s, nodeOf("app-1", nil))
				p.subscribe(xds.ClusterType)
				tt.end(p, s)
				if got := status.Code(<-p.ended); got != tt.want {
					t.Errorf("ended with %v, want %v", got, tt.want)
				}
			})
		})
	}
}

// A proxy that never reads holds up only itself.
func TestAProxyThatNeverReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		publish(t, s, a)
		w := newPipe[discoveryv3.DeltaDiscoveryRequest, discoveryv3.DeltaDiscoveryResponse](t.Context(), 0)
		go w.run(s, protocol.NewDelta(w))
		defer w.cancel()
		w.in <- &discoveryv3.DeltaDiscoveryRequest{Node: nodeOf("stuck", nil), TypeUrl: xds.ClusterType}
		synctest.Wait() // it hangs in Send
		other := connectDelta(t, s, nodeOf("well", nil))
		other.start("a")
		publish(t, s, a2)
		publish(t, s, a2, b)
		if got := other.settle(); len(got) == 0 {
			t.Error("the other proxy got nothing")
		}
		if got := s.Status(); len(got) != 2 || !slices.Contains(waiting(s), "stuck clusters") {
			t.Errorf("status: %+v", got)
		}
		if _, ok := s.Calls("shop"); !ok {
			t.Error("no proxy of the workload")
		}
		s.Counts()
	})
}

func TestStreamsOverGRPC(t *testing.T) {
	s := newServer()
	publish(t, s, a)
	server := grpc.NewServer(grpc.ForceServerCodecV2(Codec(encoding.GetCodecV2("proto"))))
	s.Register(server)
	listener := bufconn.Listen(1 << 20)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///x", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	ads, rtds := discoveryv3.NewAggregatedDiscoveryServiceClient(conn), runtimev3.NewRuntimeDiscoveryServiceClient(conn)
	sotwADS, err1 := ads.StreamAggregatedResources(t.Context())
	deltaADS, err2 := ads.DeltaAggregatedResources(t.Context())
	sotwRTDS, err3 := rtds.StreamRuntime(t.Context())
	deltaRTDS, err4 := rtds.DeltaRuntime(t.Context())
	for _, err := range []error{err1, err2, err3, err4} {
		if err != nil {
			t.Fatal(err)
		}
	}
	sotwAnswers(t, sotwADS, xds.ClusterType, "clusters =a")
	deltaAnswers(t, deltaADS, xds.ClusterType, "clusters +a")
	sotwAnswers(t, sotwRTDS, xds.RuntimeType, "runtime =breakwater")
	deltaAnswers(t, deltaRTDS, xds.RuntimeType, "runtime +breakwater")
	s.Close()
	if _, err := deltaADS.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("after Close: %v, want Unavailable", err)
	}
	if _, err := sotwRTDS.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("after Close: %v, want Unavailable", err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	server.GracefulStop()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func sotwAnswers(t *testing.T, st interface {
	Send(*discoveryv3.DiscoveryRequest) error
	Recv() (*discoveryv3.DiscoveryResponse, error)
}, typeURL, want string) {
	t.Helper()
	if err := st.Send(&discoveryv3.DiscoveryRequest{Node: nodeOf("app-1", nil), TypeUrl: typeURL}); err != nil {
		t.Fatal(err)
	}
	m, err := st.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if got := sotwText(m); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func deltaAnswers(t *testing.T, st interface {
	Send(*discoveryv3.DeltaDiscoveryRequest) error
	Recv() (*discoveryv3.DeltaDiscoveryResponse, error)
}, typeURL, want string) {
	t.Helper()
	if err := st.Send(&discoveryv3.DeltaDiscoveryRequest{Node: nodeOf("app-1", nil), TypeUrl: typeURL}); err != nil {
		t.Fatal(err)
	}
	m, err := st.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if got := deltaText(m); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestStreamsThatSayNothing cost their peer the connection, when there are many of them.
func TestStreamsThatSayNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, g := newServer(), guard.New(guard.Options{Log: slog.New(slog.DiscardHandler)})
		server := grpc.NewServer(grpc.Creds(g.Credentials(insecure.NewCredentials())), grpc.ForceServerCodecV2(Codec(encoding.GetCodecV2("proto"))))
		s.Register(server)
		listener := bufconn.Listen(1 << 20)
		served := make(chan error, 1)
		go func() { served <- server.Serve(g.Listen(listener)) }()
		conn, err := grpc.NewClient("passthrough:///x", grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
		if err != nil {
			t.Fatal(err)
		}
		client := discoveryv3.NewAggregatedDiscoveryServiceClient(conn)
		closed := func() bool {
			return slices.ContainsFunc(g.Refused(), func(r guard.Refused) bool {
				return r.Service == guard.Connection.String() && r.Reason == guard.Resets.String() && r.Total > 0
			})
		}
		for i := 0; i < 1000 && !closed(); i++ { // in one second of the bubble
			ctx, end := context.WithCancel(t.Context())
			_, err := client.DeltaAggregatedResources(ctx)
			synctest.Wait()
			end()
			synctest.Wait()
			if err != nil {
				t.Fatal(err)
			}
		}
		if !closed() {
			t.Errorf("refused: %+v, want resets", g.Refused())
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}
