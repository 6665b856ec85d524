package discovery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	runtimev3 "github.com/envoyproxy/go-control-plane/envoy/service/runtime/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"breakwater.dev/endpoints"
	"breakwater.dev/gate"
	"breakwater.dev/internal/guard"
	"breakwater.dev/internal/lockorder"
	"breakwater.dev/internal/untrusted"
	"breakwater.dev/policy"
	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery/internal/plan"
	"breakwater.dev/xds/discovery/internal/presence"
	"breakwater.dev/xds/discovery/internal/protocol"
	"breakwater.dev/xds/discovery/internal/publication"
	"breakwater.dev/xds/discovery/internal/rollout"
)

// Server serves the published policy to proxies: aggregated discovery (ADS), incremental and state of the world, and
// runtime discovery on streams of its own.
type Server struct {
	options Options
	log     *slog.Logger
	lines   untrusted.Limiter[string] // by peer
	closed  chan struct{}
	close   sync.Once

	publisher *publication.Publisher
	departs   *time.Timer // the publisher's alarm
	rollouts  *rollout.Rollouts
	streams   streams
	present   presence.Registry
	places    places
	pool      xds.Pool // shared by all proxies, for what they have
	denied    deniedUpstreams

	mu     lockorder.Mutex[lockorder.DiscoveryLeaf]
	counts map[string]TypeCounts // guarded by mu
}

// Options connect a server with the process around it. Log and Now are required.
type Options struct {
	Log *slog.Logger
	// Now gives the time. It is called with locks held, so it must not call the server.
	Now func() time.Time
	// TTL is how long proxies keep a runtime layer that is not renewed. The server renews it three times in that time.
	// While a breaker is half-open or in its ramp, the TTL of its layer is a fifth of this, and at least 1 s. 0: 15 s.
	TTL time.Duration
	// Replicas says that proxies have several control planes, which share their breakers.
	Replicas bool
	// Propagated(took) reports that every proxy whose layers a change of the gates concerns has applied the change, and
	// how long the last one took from the decision. May be nil.
	Propagated func(took time.Duration)
	// Applied(node, gates, at) reports that the proxy applies gates from at on. It replaces earlier reports for at or later.
	// The gates are nil when the proxy applies none. Gates that have keys come with further reports, of what is left, for the
	// times when the proxy drops them part by part unless they are renewed. The last of these is nil. The reports of one stream
	// come in order. May be nil.
	//
	// Both functions are called by the goroutines of the streams, several at once, with no lock held. They must be quick.
	Applied func(node string, gates *gate.Mix, at time.Time)
}

// NewServer returns a server that serves only runtime layers without keys before the first [Server.Publish]. Proxies that
// connect earlier wait for their resources.
func NewServer(o Options) *Server {
	if o.TTL == 0 {
		o.TTL = defaultTTL
	}
	if o.Propagated == nil {
		o.Propagated = func(time.Duration) {}
	}
	if o.Applied == nil {
		o.Applied = func(string, *gate.Mix, time.Time) {}
	}
	s := &Server{
		options: o, log: o.Log, closed: make(chan struct{}), counts: map[string]TypeCounts{},
		lines: untrusted.Limiter[string]{Each: untrusted.Rate{Burst: 50, PerSecond: 2}, All: untrusted.Rate{Burst: 2_000, PerSecond: 50}},
	}
	none, err := xds.NewLayers(gate.NewSet(nil, gate.LogFilter{}))
	if err != nil {
		panic(fmt.Sprintf("discovery: an empty runtime layer: %v", err))
	}
	s.rollouts = rollout.New(none, o.Now)
	s.departs = time.AfterFunc(time.Hour, func() { s.publisher.Expire() })
	s.departs.Stop()
	s.publisher = publication.NewPublisher(publication.Options{
		Proxies: &s.streams, Alarm: s.departs, XDS: xds.Options{Pool: &s.pool, Replicas: o.Replicas}, Now: o.Now, Log: o.Log,
	})
	for _, t := range xds.Types {
		s.counts[t] = TypeCounts{}
	}
	return s
}

// Register adds the discovery services to a gRPC server.
func (s *Server) Register(r grpc.ServiceRegistrar) {
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(r, ads{server: s})
	runtimev3.RegisterRuntimeDiscoveryServiceServer(r, rtds{server: s})
}

// Close ends all streams and refuses new ones. Proxies keep what they have.
func (s *Server) Close() {
	s.close.Do(func() {
		close(s.closed)
		s.departs.Stop()
	})
}

// Publication is a policy translated for every kind of proxy that is connected, with the endpoints of its upstreams, ready to
// be published.
type Publication = publication.Publication

// Prepare translates set, with the endpoints in table, for a default proxy and for every proxy that is connected. It changes
// nothing. A set or endpoints that cannot be translated are an error here. Ejections in table do not count: see
// [Server.Eject].
func (s *Server) Prepare(set *policy.Set, table *endpoints.Table) (*Publication, error) {
	return s.publisher.Prepare(set, table)
}

// Admit makes a proxy's reports count, from now on, only for the upstreams that p lets its workload call. An identity
// without a configuration stream keeps its upstreams for up to a minute. [Server.Publish] does the same. Call Admit before
// the breakers of a policy are made, so that other workloads cannot report on them until the policy is published.
func (s *Server) Admit(p *Publication) { s.publisher.Admit(p) }

// Publish sends p to all proxies. The endpoints become the ones that p was prepared with, also where
// [Server.PublishEndpoints] has changed them since. Ejections stay. A publication is published once.
func (s *Server) Publish(p *Publication) { s.publisher.Publish(p) }

// PublishEndpoints sends new endpoints of an upstream to the proxies that get it, and nothing else. They replace the
// upstream's endpoints until the next [Server.Publish]. Ejections stay. Upstreams that no policy has, or that are found by
// DNS, make no difference. An error means that nothing changed.
func (s *Server) PublishEndpoints(upstream string, all []policy.Endpoint) error {
	return s.publisher.PublishEndpoints(upstream, all)
}

// Eject has proxies send nothing to these endpoints of an upstream from now on. It replaces the upstream's earlier
// ejections, and holds over publications. Upstreams that no policy has, or that are found by DNS, and endpoints that an
// upstream does not have, make no difference. An error means that nothing changed.
func (s *Server) Eject(upstream string, endpoints []netip.AddrPort) error {
	return s.publisher.Eject(upstream, endpoints)
}

// serve runs one stream of a proxy to its end.
func (s *Server) serve(ctx context.Context, rpc protocol.Stream) error {
	peer := guard.PeerFrom(ctx)
	leave, err := peer.JoinXDS()
	if err != nil {
		return err
	}
	defer leave()
	st := &stream{
		server: s, rpc: rpc, peer: peer, publish: make(chan struct{}, 1), follower: rollout.NewFollower(),
		connected: s.options.Now(), proxy: plan.NewProxy(rpc.Kind(), &s.pool),
	}
	st.runtime.heartbeat, st.meeting, st.later, st.retry = stopped(), stopped(), stopped(), stopped()
	s.streams.add(st)
	defer func() {
		s.streams.remove(st)
		st.end()
	}()
	return st.run(ctx)
}

// stopped returns a timer that was not started yet.
func stopped() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

func (s *Server) pushed(typeURL string, size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.counts[typeURL]
	c.Pushes++
	c.PushBytes += uint64(size)
	s.counts[typeURL] = c
}

func (s *Server) nacked(typeURL string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.counts[typeURL]
	c.NACKs++
	s.counts[typeURL] = c
}

// ended turns the end of a stream into what the handler returns: a proxy that leaves is no error.
func ended(err error) error {
	if errors.Is(err, io.EOF) || status.Code(err) == codes.Canceled {
		return nil
	}
	return err
}

type ads struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	server *Server
}

func (a ads) StreamAggregatedResources(st discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	return a.server.serve(st.Context(), protocol.NewSotw(st))
}

func (a ads) DeltaAggregatedResources(st discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	return a.server.serve(st.Context(), protocol.NewDelta(st))
}

type rtds struct {
	runtimev3.UnimplementedRuntimeDiscoveryServiceServer
	server *Server
}

func (r rtds) StreamRuntime(st runtimev3.RuntimeDiscoveryService_StreamRuntimeServer) error {
	return r.server.serve(st.Context(), protocol.NewSotw(st))
}

func (r rtds) DeltaRuntime(st runtimev3.RuntimeDiscoveryService_DeltaRuntimeServer) error {
	return r.server.serve(st.Context(), protocol.NewDelta(st))
}
