package discovery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/netip"
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
	options Options
	log     *slog.Logger
	closed  chan struct{}
	close   sync.Once

	publishing sync.Mutex // serialises what changes current
	current    atomic.Pointer[Publication]
	ejected    map[string][]netip.AddrPort // of upstreams; never changed
	rollouts   rollouts

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

// Options are what a server needs of the process around it. Log and Now are required.
type Options struct {
	Log *slog.Logger
	// Now gives the times that [Server.Status] reports.
	Now func() time.Time
	// TTL is how long proxies keep a runtime layer without hearing from this server; it
	// is sent again three times as often. While a breaker is half-open or in its ramp that is
	// a fifth of it, at least 1 s. 0: 15 s.
	TTL time.Duration
	// Propagated gets how long it took from a decision until the last proxy obeyed whose
	// layer changed. Nil: nobody does. It must be quick, as must Obeyed; streams call
	// them at once.
	Propagated func(time.Duration)
	// Obeyed is told that gates stand in a proxy from a time on, in place of all that was
	// said of that time or a later one; nil: none. Gates that have keys come with a
	// second call, for the time when they fall away unless the proxy hears of them
	// before. The calls of one stream are in order. Nil: nobody is told.
	Obeyed func(node string, g *xds.Gates, at time.Time)
}

// NewServer returns a server that has nothing to serve before the first
// [Server.Publish], but for runtime layers without keys; proxies that connect earlier wait.
func NewServer(o Options) *Server {
	if o.TTL == 0 {
		o.TTL = defaultTTL
	}
	if o.Propagated == nil {
		o.Propagated = func(time.Duration) {}
	}
	if o.Obeyed == nil {
		o.Obeyed = func(string, *xds.Gates, time.Time) {}
	}
	s := &Server{
		options: o, log: o.Log, closed: make(chan struct{}),
		streams: map[*stream]bool{}, counts: map[string]TypeCounts{},
		rollouts: rollouts{now: o.Now, followers: map[*follower]bool{}},
	}
	none, err := xds.NewGates(nil)
	if err != nil {
		panic(fmt.Sprintf("discovery: an empty runtime layer: %v", err))
	}
	s.rollouts.current.Store(&gates{Gates: none})
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
	set     *policy.Set
	ejected map[string][]netip.AddrPort

	mu    sync.Mutex
	plain map[string]xds.Resources // by Node.view, as translated
	views map[string]xds.Resources // the same without what is ejected
}

// Prepare translates set for a default proxy and for every proxy connected. It
// changes nothing; what is wrong with the set shows here.
func (s *Server) Prepare(set *policy.Set) (*Publication, error) {
	p := &Publication{set: set, plain: map[string]xds.Resources{}, views: map[string]xds.Resources{}}
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

// Publish makes p what proxies get, but for what is ejected, and wakes every stream.
func (s *Server) Publish(p *Publication) {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	shown, err := p.with(s.ejected, slices.Collect(maps.Keys(s.ejected))...)
	if err != nil { // of what was translated and validated once, so that it cannot be
		s.log.Error("endpoints cannot be ejected; proxies use all of them", "error", err.Error())
		shown = p
	}
	s.current.Store(shown)
	s.wake()
}

// wake has every stream look at what is published.
func (s *Server) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for st := range s.streams {
		signal(st.publish)
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
	shown, err := mark(rs, rs, p.ejected, slices.Collect(maps.Keys(p.ejected)))
	if err != nil {
		return nil, fmt.Errorf("for a proxy that listens on %s: %w", n.Listen, err)
	}
	if len(p.views) >= maxViews {
		clear(p.plain)
		clear(p.views)
	}
	p.plain[n.view()], p.views[n.view()] = rs, shown
	return shown, nil
}

// serve runs one stream of a proxy to its end.
func (s *Server) serve(ctx context.Context, p protocol) error {
	st := &stream{
		server: s, protocol: p, publish: make(chan struct{}, 1), follower: &follower{wake: make(chan struct{}, 1)},
		connected: s.options.Now(), subs: map[string]*subscription{},
	}
	st.runtime.beat = time.NewTimer(time.Hour)
	st.runtime.beat.Stop()
	s.mu.Lock()
	s.streams[st] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.streams, st)
		s.mu.Unlock()
		st.leaveLayer()
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
