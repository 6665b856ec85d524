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

	"breakwater.dev/gate"
	"breakwater.dev/internal/guard"
	"breakwater.dev/internal/untrusted"
	"breakwater.dev/policy"
	"breakwater.dev/xds"
)

// Server serves the published policy to proxies: aggregated discovery (ADS),
// incremental and state of the world, and runtime discovery on streams of its own.
type Server struct {
	options  Options
	log      *slog.Logger
	lines    untrusted.Limiter[string]
	building chan struct{} // holds one for each stream that makes a response
	closed   chan struct{}
	close    sync.Once

	publishing sync.Mutex // serialises what changes current
	current    atomic.Pointer[Publication]
	published  atomic.Pointer[Publication] // last, as it was prepared; nil: none yet
	ejected    map[string][]netip.AddrPort // of upstreams; never changed
	departing  []departure
	departs    *time.Timer // something of that is to go then
	rollouts   rollouts
	admits     atomic.Pointer[access] // by which proxies report; nil: nothing is published yet
	unknown    unknownUpstreams

	mu      sync.Mutex
	streams map[*stream]bool
	present map[string][]*presence // by id
	views   map[string]*view       // by called.view, of the streams that are open
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
	// Propagated gets the time from a decision until the last proxy whose layer changed has applied it. Streams
	// call it, so it must be quick. May be nil.
	Propagated func(time.Duration)
	// Applied says that a proxy applies gates from a time on; a nil set means none. A call replaces earlier
	// ones for that time or later. Gates that have keys come with a second call, for the time when
	// the proxy drops them unless it hears of them again. The calls of one stream are in order. Streams
	// call it, so it must be quick. May be nil.
	Applied func(node string, set *gate.Set, at time.Time)
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
	if o.Applied == nil {
		o.Applied = func(string, *gate.Set, time.Time) {}
	}
	s := &Server{
		options: o, log: o.Log, closed: make(chan struct{}), building: make(chan struct{}, building),
		streams: map[*stream]bool{}, views: map[string]*view{}, present: map[string][]*presence{}, counts: map[string]TypeCounts{},
		rollouts: rollouts{now: o.Now, followers: map[*follower]bool{}},
		lines:    untrusted.Limiter[string]{Each: untrusted.Rate{Burst: 50, PerSecond: 2}, All: untrusted.Rate{Burst: 2_000, PerSecond: 50}},
	}
	none, err := xds.NewLayers(gate.NewSet(nil, gate.LogFilter{}))
	if err != nil {
		panic(fmt.Sprintf("discovery: an empty runtime layer: %v", err))
	}
	s.rollouts.current.Store(&gates{Layers: none})
	s.departs = time.AfterFunc(time.Hour, s.departed)
	s.departs.Stop()
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

// Publication is a policy translated for every kind of proxy that is connected,
// ready to be published.
type Publication struct {
	set       *policy.Set
	upstreams map[string]*policy.Upstream // of set, by name
	access    *access                     // to them, and to what departs
	ejected   map[string][]netip.AddrPort

	mu          *sync.Mutex // shared with those that differ in what is ejected, as is translation
	translation *xds.Translation
	plain       map[string]xds.Resources // by called.view, as translated
	views       map[string]xds.Resources // the same without what is ejected
	own         map[string]int           // bytes that were made for a view alone; shared as mu is
}

// Prepare translates set for a default proxy and for every proxy connected. It
// changes nothing; what is wrong with the set shows here.
func (s *Server) Prepare(set *policy.Set) (*Publication, error) {
	return s.prepare(set, nil)
}

func (s *Server) prepare(set *policy.Set, departing []departure) (*Publication, error) {
	joined := withDeparting(set, departing)
	p := &Publication{
		set: set, upstreams: xds.ByName(set), access: newAccess(joined, departing), mu: &sync.Mutex{}, translation: xds.NewTranslation(joined),
		plain: map[string]xds.Resources{}, views: map[string]xds.Resources{}, own: map[string]int{},
	}
	if _, err := p.translated(xds.DefaultListen, p.access.call(nil)); err != nil { // whoever may call it
		return nil, err
	}
	for _, n := range s.Nodes() {
		if _, err := p.translated(n.Listen, p.access.of(n)); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// Publish makes p what proxies get, but for what is ejected, and wakes every stream.
func (s *Server) Publish(p *Publication) {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	s.departing = s.departures(p.set)
	s.published.Store(p)
	s.show(s.Admit)
}

// withEjected is p without what is ejected.
func (s *Server) withEjected(p *Publication) *Publication {
	shown, err := p.with(s.ejected, slices.Collect(maps.Keys(s.ejected))...)
	if err != nil { // of what was translated and validated once, so that it cannot be
		s.log.Error("endpoints cannot be ejected; proxies use all of them", "error", err.Error())
		return p
	}
	return shown
}

// wake has every stream look at what is published.
func (s *Server) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for st := range s.streams {
		signal(st.publish)
	}
}

// translated returns what proxies get that listen there and call these upstreams.
func (p *Publication) translated(listen netip.AddrPort, c called) (xds.Resources, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	view := c.view(listen)
	if rs, ok := p.views[view]; ok {
		return rs, nil
	}
	rs, own, err := p.translation.For(c.names, listen)
	if err != nil {
		return nil, fmt.Errorf("for a proxy that listens on %s: %w", listen, err)
	}
	shown, err := mark(rs, rs, p.ejected, slices.Collect(maps.Keys(p.ejected)))
	if err != nil {
		return nil, fmt.Errorf("for a proxy that listens on %s: %w", listen, err)
	}
	p.plain[view], p.views[view], p.own[view] = rs, shown, own
	return shown, nil
}

// serve runs one stream of a proxy to its end.
func (s *Server) serve(ctx context.Context, p protocol) error {
	peer := guard.Of(ctx)
	leave, err := peer.JoinXDS()
	if err != nil {
		return err
	}
	defer leave()
	st := &stream{
		server: s, protocol: p, peer: peer, publish: make(chan struct{}, 1), follower: &follower{wake: make(chan struct{}, 1)},
		connected: s.options.Now(), subs: map[string]*subscription{},
	}
	st.runtime.beat, st.meeting, st.later, st.retry = stopped(), stopped(), stopped(), stopped()
	s.mu.Lock()
	s.streams[st] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.streams, st)
		s.mu.Unlock()
		st.meeting.Stop()
		if st.present != nil {
			s.leave(st.present)
		}
		st.leaveLayer()
		st.exit()
		st.unload()
		st.retry.Stop()
		st.later.Stop()
	}()
	return st.run(ctx)
}

// stopped is a timer that was not started yet.
func stopped() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// introduced is called when a stream's proxy has said who it is, with the first type
// that it asks for. Its stream for the runtime layer is not worth a line of its own.
func (s *Server) introduced(peer *guard.Peer, n Node, typeURL string) {
	if typeURL == xds.RuntimeType {
		return
	}
	level, message := slog.LevelInfo, "proxy connected"
	if n.TooOld() {
		level, message = slog.LevelWarn, "proxy connected, and is too old: before Envoy 1.37 timeouts and connect failures are not seen"
	}
	s.tell(peer, level, message, "node", untrusted.Name(n.ID), "cluster", untrusted.Name(n.Cluster),
		"envoy", untrusted.Name(n.Version), "listen", n.Listen.String())
}

// tell writes a line that a peer has caused, unless it has caused too many.
func (s *Server) tell(peer *guard.Peer, level slog.Level, message string, what ...any) {
	ok, silent := s.lines.Allow(peer.Name(), s.options.Now())
	if !ok {
		return
	}
	if silent > 0 {
		what = append(what, "lines_left_out", silent)
	}
	s.log.Log(context.Background(), level, message, what...)
}

func (s *Server) pushed(typeURL string, size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.counts[typeURL]
	c.Pushes++
	c.PushBytes += uint64(size)
	s.counts[typeURL] = c
}

// nacked counts a refusal, and logs it, as loudly only if the proxy did not say the same
// of the last try.
func (s *Server) nacked(st *stream, typeURL string, names []string, message string, again bool) {
	level := slog.LevelError
	if again {
		level = slog.LevelDebug
	}
	s.tell(st.peer, level, "proxy refused configuration; it keeps what it had, and is sent this again after growing pauses",
		"node", untrusted.Name(st.node.ID), "type", typeURL, "resources", untrusted.Names(names), "message", message)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.counts[typeURL]
	c.NACKs++
	s.counts[typeURL] = c
}

// accepted logs that nothing of a type is refused any more.
func (s *Server) accepted(st *stream, typeURL string) {
	s.tell(st.peer, slog.LevelInfo, "proxy has taken what it had refused", "node", untrusted.Name(st.node.ID), "type", typeURL)
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
