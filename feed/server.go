package feed

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	alsv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"breakwater.dev/breaker"
	"breakwater.dev/internal/guard"
	"breakwater.dev/policy"
	"breakwater.dev/wire"
)

// Options are what a server needs of the process around it. All are required.
type Options struct {
	// Process is the one whose probes are known here.
	Process uint32
	// Now reads the clock that the engine's instants are of.
	Now func() breaker.Instant
	// Observe gets how long calls took that succeeded or failed: n calls, each with so
	// much of the service's time, and so much from beginning to end.
	Observe func(key breaker.Key, took, lasted time.Duration, n uint64)
	// Answered gets calls that were rejected where proxies keep copies of responses, and
	// whether they were answered with one.
	Answered func(key breaker.Key, cached bool, n uint64)
	// Endpoints gets what became of calls at the endpoints of an upstream that the mesh
	// judges, in any order. It must not keep the slice.
	Endpoints func(upstream string, outcomes []EndpointOutcome)
	Log       *slog.Logger
}

// Server is the access log service.
type Server struct {
	options Options
	table   atomic.Pointer[table]
	backlog atomic.Int64 // bytes that wait to be taken, of all streams
	counts  struct {
		streams                                                                 atomic.Int64
		messages, bytes, reported, rejected, skipped, invalid, dropped, refused atomic.Uint64
	}

	mu     sync.Mutex // guards what follows
	nodes  nodes
	shares map[breaker.Key]*thinnings
	turned breaker.Instant
}

// Counts are totals since the server was made, and what is under way now.
type Counts struct {
	Streams  int64 // open now
	Messages uint64
	Bytes    uint64 // of messages
	// Of the entries in messages, each is in one of these.
	Reported uint64 // told a breaker an outcome
	Rejected uint64 // told of calls that were rejected
	Skipped  uint64 // were logged for another reason, or of no breaker that is known
	Invalid  uint64 // ended a stream, since they cannot be read
	Dropped  uint64 // came faster than they could be taken
	Refused  uint64 // told of an upstream that their proxy does not say it calls
}

// NewServer returns a server that knows no breaker until the first [Server.Apply].
func NewServer(o Options) *Server {
	s := &Server{
		options: o, nodes: newNodes(), shares: map[breaker.Key]*thinnings{}, turned: o.Now(),
	}
	s.table.Store(&table{})
	return s
}

// Apply makes set's breakers the ones whose calls count. The engine has them already.
func (s *Server) Apply(set *policy.Set, engine *breaker.Engine) {
	t := newTable(set, engine)
	s.table.Store(t)
	known := map[breaker.Key]bool{}
	for _, of := range []map[string]*target{t.routes, t.upstreams} {
		for _, a := range of {
			known[a.key] = true
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.shares {
		if !known[key] {
			delete(s.shares, key)
		}
	}
}

// Counts returns the totals.
func (s *Server) Counts() Counts {
	c := &s.counts
	return Counts{
		Streams: c.streams.Load(), Messages: c.messages.Load(), Bytes: c.bytes.Load(), Reported: c.reported.Load(),
		Rejected: c.rejected.Load(), Skipped: c.skipped.Load(), Invalid: c.invalid.Load(), Dropped: c.dropped.Load(), Refused: c.refused.Load(),
	}
}

// Applied says how densely a proxy logs from an instant on, by key without a node. Of a breaker that is not there it logs all
// calls. The map must not be changed. Calls for one proxy are in order.
func (s *Server) Applied(id string, sampling map[breaker.Key]wire.Sampling, from breaker.Instant) {
	n := s.node(id, "")
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.timeline = n.timeline.obey(from, sampling)
}

// Links returns what a proxy has told of its connections to an upstream that speaks TCP.
func (s *Server) Links(upstream, id string) Links {
	s.mu.Lock()
	n := s.nodes.byID[id]
	s.mu.Unlock()
	if n == nil {
		return Links{}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if l := n.links[upstream]; l != nil {
		l.settle(s.options.Now())
		return *l
	}
	return Links{}
}

// Began says that a proxy has just begun, whatever one of that id had told before: it has no connections.
func (s *Server) Began(id string) {
	n := s.node(id, "")
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.links {
		l.Connections, l.Connecting = 0, 0
	}
}

// node returns what is known of a proxy, which is of the identity owner as far as that is known; nil: there are too many.
func (s *Server) node(id, owner string) *node {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nodes.meet(id, owner, s.options.Now())
}

// join is node for a stream of the proxy, which lasts until [worker.leave].
func (s *Server) join(id, owner string) *node {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.nodes.meet(id, owner, s.options.Now())
	if n != nil {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.streams++
	}
	return n
}

// Register adds the service to a gRPC server, which has to use [Codec].
func (s *Server) Register(r grpc.ServiceRegistrar) {
	description := alsv3.AccessLogService_ServiceDesc
	description.HandlerType = (*any)(nil) // messages come as they are
	description.Streams = []grpc.StreamDesc{{
		StreamName: description.Streams[0].StreamName, ClientStreams: true,
		Handler: func(_ any, stream grpc.ServerStream) error { return s.serve(stream) },
	}}
	r.RegisterService(&description, s)
}

// serve takes one stream to its end. Envoy has one for each of its workers and kinds of log.
func (s *Server) serve(stream grpc.ServerStream) error {
	s.counts.streams.Add(1)
	defer s.counts.streams.Add(-1)
	peer := guard.Of(stream.Context())
	if err := peer.Take(guard.AccessLog, guard.LogBytes); err != nil {
		return err
	}
	defer peer.Give(guard.AccessLog, guard.LogBytes)
	q := newQueue(&s.backlog)
	var working sync.WaitGroup
	defer working.Wait()
	defer q.close()
	first := true
	for {
		select {
		case <-q.broken:
			s.counts.invalid.Add(1)
			return status.Error(codes.InvalidArgument, errMalformed.Error())
		default:
		}
		var f frame
		if err := stream.RecvMsg(&f); err != nil {
			if first {
				peer.Reset()
			}
			return ended(stream, err)
		}
		arrived := s.options.Now()
		s.counts.messages.Add(1)
		s.counts.bytes.Add(uint64(f.data.Len()))
		if first {
			first = false
			n, upstream, err := s.introduce(f.data.ReadOnlyData(), peer)
			if err != nil {
				f.data.Free()
				return err
			}
			w := newWorker(s, n, upstream)
			w.peer = peer
			defer w.leave()
			working.Go(func() { q.work(w) })
		}
		if !q.push(f.data, arrived) {
			s.counts.dropped.Add(countEntries(f.data.ReadOnlyData()))
			f.data.Free()
		}
	}
}

// introduce reads who sends a stream, and to which upstream the connections in it are.
func (s *Server) introduce(data []byte, peer *guard.Peer) (n *node, upstream string, err error) {
	var m message
	if err := m.read(data); err != nil {
		s.counts.invalid.Add(1)
		return nil, "", status.Error(codes.InvalidArgument, err.Error())
	}
	upstream, ours := wire.ParseLog(string(m.log))
	if !m.identified || !wire.ValidNodeID(string(m.node)) || !ours {
		s.counts.invalid.Add(1)
		return nil, "", status.Errorf(codes.InvalidArgument,
			"the first message names node %.64q and log %.64q; must name a node in at most %d printable bytes, and log %q", m.node, m.log, wire.MaxNodeID, wire.RequestLog)
	}
	if err := peer.Admit(guard.AccessLog, string(m.node), string(m.cluster)); err != nil {
		return nil, "", err
	}
	if n = s.join(string(m.node), peer.Name()); n == nil {
		return nil, "", peer.Refuse(guard.AccessLog, guard.Metadata, fmt.Sprintf("there are streams of as many proxies as are remembered, which are %d, and %d of one identity", maxNodes, maxOwned))
	}
	return n, upstream, nil
}

// ended turns the end of a stream into what the handler returns: a proxy that left is no
// error.
func ended(stream grpc.ServerStream, err error) error {
	if errors.Is(err, io.EOF) {
		return stream.SendMsg(&alsv3.StreamAccessLogsResponse{})
	}
	if status.Code(err) == codes.Canceled {
		return nil
	}
	return err
}
