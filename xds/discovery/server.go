package discovery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	runtimev3 "github.com/envoyproxy/go-control-plane/envoy/service/runtime/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"breakwater.dev/policy"
	"breakwater.dev/xds"
)

// Server serves the published policy to proxies: aggregated discovery (ADS),
// incremental and state of the world, and runtime discovery on streams of its own.
type Server struct {
	log    *slog.Logger
	now    func() time.Time
	closed chan struct{}
	close  sync.Once

	current atomic.Pointer[Publication]

	mu      sync.Mutex
	streams map[*stream]bool
	counts  map[string]TypeCounts
}

// TypeCounts are totals of one resource type since the server was made.
type TypeCounts struct {
	Pushes    uint64 // responses sent
	PushBytes uint64 // bytes of resources in them
	NACKs     uint64 // responses refused
}

// NewServer returns a server that has nothing to serve before the first
// [Server.Publish]; proxies that connect earlier wait. now gives the times that
// [Server.Status] reports.
func NewServer(log *slog.Logger, now func() time.Time) *Server {
	s := &Server{
		log: log, now: now, closed: make(chan struct{}),
		streams: map[*stream]bool{}, counts: map[string]TypeCounts{},
	}
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
func (s *Server) Close() { s.close.Do(func() { close(s.closed) }) }

// maxViews bounds the translations kept of one publication. Proxies of one workload
// share theirs, so more than this comes of nodes that make up metadata.
const maxViews = 1_000

// Publication is a policy translated for every kind of proxy that is connected,
// ready to be published.
type Publication struct {
	set *policy.Set

	mu    sync.Mutex
	views map[string]xds.Resources // by Node.view
}

// Prepare translates set for a default proxy and for every proxy connected. It
// changes nothing; what is wrong with the set shows here.
func (s *Server) Prepare(set *policy.Set) (*Publication, error) {
	p := &Publication{set: set, views: map[string]xds.Resources{}}
	if _, err := p.resources(Node{Listen: xds.DefaultListen}); err != nil {
		return nil, err
	}
	for _, n := range s.nodes() {
		if _, err := p.resources(n); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// Publish makes p what proxies get, and wakes every stream.
func (s *Server) Publish(p *Publication) {
	s.current.Store(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	for st := range s.streams {
		select {
		case st.publish <- struct{}{}:
		default: // it has yet to look at the last one, and will find this one
		}
	}
}

func (s *Server) resources(n Node) (xds.Resources, error) {
	p := s.current.Load()
	if p == nil {
		return nil, nil
	}
	return p.resources(n)
}

// resources returns what a node gets. Nodes that listen at the same address and
// call the same upstreams share one translation.
func (p *Publication) resources(n Node) (xds.Resources, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if rs, ok := p.views[n.view()]; ok {
		return rs, nil
	}
	set := p.set
	if n.Upstreams != nil {
		set = xds.Only(set, n.Upstreams)
	}
	rs, err := xds.Translate(set, n.Listen)
	if err != nil {
		return nil, fmt.Errorf("for a proxy that listens on %s: %w", n.Listen, err)
	}
	if len(p.views) >= maxViews {
		clear(p.views)
	}
	p.views[n.view()] = rs
	return rs, nil
}

// serve runs one stream of a proxy to its end.
func (s *Server) serve(ctx context.Context, p protocol) error {
	st := &stream{
		server: s, protocol: p, publish: make(chan struct{}, 1),
		connected: s.now(), subs: map[string]*subscription{},
	}
	s.mu.Lock()
	s.streams[st] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.streams, st)
		s.mu.Unlock()
	}()
	return st.run(ctx)
}

// introduced is called when a stream's proxy has said who it is, with the first type
// that it asks for. Its stream for the runtime layer is not worth a line of its own.
func (s *Server) introduced(n Node, typeURL string) {
	if typeURL == xds.RuntimeType {
		return
	}
	log := s.log.With("node", n.ID, "cluster", n.Cluster, "envoy", n.Version)
	log.Info("proxy connected", "listen", n.Listen.String())
	if n.TooOld() {
		log.Warn("proxy is too old: before Envoy 1.37 timeouts and connect failures are not seen")
	}
}

func (s *Server) pushed(typeURL string, size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.counts[typeURL]
	c.Pushes++
	c.PushBytes += uint64(size)
	s.counts[typeURL] = c
}

func (s *Server) nacked(n Node, typeURL string, names []string, message string) {
	s.log.Error("proxy refused configuration; it keeps what it had, and is not sent this again until it changes",
		"node", n.ID, "type", typeURL, "resources", names, "message", message)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.counts[typeURL]
	c.NACKs++
	s.counts[typeURL] = c
}

// nodes returns the proxies that are connected, one for each view.
func (s *Server) nodes() []Node {
	byView := map[string]Node{}
	for _, st := range s.all() {
		st.mu.Lock()
		if st.node != nil {
			byView[st.node.view()] = *st.node
		}
		st.mu.Unlock()
	}
	return slices.Collect(maps.Values(byView))
}

func (s *Server) all() []*stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.streams))
}

// ended turns the end of a stream into what the handler returns: a proxy that
// left is no error.
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
	return a.server.serve(st.Context(), sotw{stream: st})
}

func (a ads) DeltaAggregatedResources(st discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	return a.server.serve(st.Context(), delta{stream: st})
}

type rtds struct {
	runtimev3.UnimplementedRuntimeDiscoveryServiceServer
	server *Server
}

func (r rtds) StreamRuntime(st runtimev3.RuntimeDiscoveryService_StreamRuntimeServer) error {
	return r.server.serve(st.Context(), sotw{stream: st})
}

func (r rtds) DeltaRuntime(st runtimev3.RuntimeDiscoveryService_DeltaRuntimeServer) error {
	return r.server.serve(st.Context(), delta{stream: st})
}
