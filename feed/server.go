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
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"breakwater.dev/breaker"
	"breakwater.dev/feed/internal/backlog"
	"breakwater.dev/feed/internal/sampling"
	"breakwater.dev/feed/internal/suspects"
	"breakwater.dev/gate"
	"breakwater.dev/internal/alslog"
	"breakwater.dev/internal/guard"
	"breakwater.dev/internal/lockorder"
	"breakwater.dev/outlier"
	"breakwater.dev/policy"
	"breakwater.dev/wire"
)

// Options connect a server to the process around it. All are required. The functions are called from many goroutines at
// once.
type Options struct {
	// Process is the number of this process in the marks of probes. Probes of other processes are ignored.
	Process uint32
	// Decider receives the outcomes of calls.
	Decider breaker.Decider
	// Now reads the decider's clock.
	Now func() breaker.Instant
	// Observe receives how long n calls took that succeeded or failed: took is the service's time of each, lasted the
	// time from its beginning to its end.
	Observe func(key breaker.Key, took, lasted time.Duration, n uint64)
	// Answered receives how many requests were rejected where proxies keep copies of responses, and whether they were
	// answered with a copy.
	Answered func(key breaker.Key, cached bool, n uint64)
	// Endpoints receives, in no order, the outcomes of calls at the endpoints of an upstream whose outlier detection has the
	// scope Mesh. It may change the slice but not keep it.
	Endpoints func(upstream string, outcomes []outlier.Outcome)
	// LogAll is called when proxies must log all calls of a breaker at once, which [Server.Sample] says from then on until
	// it says otherwise. The key has no node.
	LogAll func(key breaker.Key)
	// Shared means that a proxy may get its layers from another replica; see [Server.Here].
	Shared bool
	Log    *slog.Logger
}

// Server is the access log service. Its methods are safe for concurrent use.
type Server struct {
	options   Options
	table     atomic.Pointer[table]
	elsewhere atomic.Pointer[func(breaker.Key) bool]
	backlog   backlog.Total
	counts    counters

	mu        lockorder.Mutex[lockorder.FeedServer] // guards what follows
	nodes     nodes
	samplers  map[breaker.Key]*sampling.Sampler
	sampledAt breaker.Instant
	suspects  suspects.List
}

// NewServer returns a server that knows no breaker until the first [Server.Apply].
func NewServer(o Options) *Server {
	s := &Server{
		options: o, nodes: newNodes(), samplers: map[breaker.Key]*sampling.Sampler{}, sampledAt: o.Now(),
	}
	s.table.Store(newTable())
	s.Elsewhere(func(breaker.Key) bool { return true })
	return s
}

// Apply makes the breakers of a set the ones whose calls count.
func (s *Server) Apply(set *policy.Set) {
	t, gone := s.table.Load().next(set)
	s.table.Store(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range gone {
		delete(s.samplers, key)
	}
}

// Applied says how densely the proxy with an id logs from an instant on, in place of what was said before for that instant or a
// later one: as the gates say that it applies. Calls about one proxy must be made in order.
func (s *Server) Applied(id string, gates *gate.Mix, from breaker.Instant) {
	n := s.node(id, "")
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.timeline = n.timeline.Apply(from, gates)
}

// Links returns the connections of the proxy with an id to an upstream that speaks TCP. They are zero where the proxy has
// logged none.
func (s *Server) Links(upstream, id string) gate.Links {
	s.mu.Lock()
	n := s.nodes.byID[id]
	s.mu.Unlock()
	if n == nil {
		return gate.Links{}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if l := n.links[upstream]; l != nil {
		l.Expire(s.options.Now())
		return l.Links
	}
	return gate.Links{}
}

// Started says that the proxy with an id has just started, and so has no connections, whatever a proxy with that id had before.
func (s *Server) Started(id string) {
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

// node returns the proxy with an id, which belongs to the identity owner if that is not empty; nil: there are too many.
func (s *Server) node(id, owner string) *node {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nodes.getOrAdd(id, owner, s.options.Now())
}

// join is [Server.node] for a stream of the proxy, which counts until [worker.leave].
func (s *Server) join(id, owner string) *node {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.nodes.getOrAdd(id, owner, s.options.Now())
	if n != nil {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.streams++
	}
	return n
}

// Register adds the service to a gRPC server, which must have the codec that [Codec] returns.
func (s *Server) Register(r grpc.ServiceRegistrar) {
	description := alsv3.AccessLogService_ServiceDesc
	description.HandlerType = (*any)(nil) // the handler gets messages encoded, so it has another type
	description.Streams = []grpc.StreamDesc{{
		StreamName: description.Streams[0].StreamName, ClientStreams: true,
		Handler: func(_ any, stream grpc.ServerStream) error { return s.serve(stream) },
	}}
	r.RegisterService(&description, s)
}

// serve receives one stream until it ends. Envoy has a stream for each of its workers and logs.
func (s *Server) serve(stream grpc.ServerStream) error {
	s.counts.streams.Add(1)
	defer s.counts.streams.Add(-1)
	peer := guard.PeerFrom(stream.Context())
	if err := peer.Take(guard.AccessLog, guard.LogBytes); err != nil {
		return err
	}
	defer peer.Give(guard.AccessLog, guard.LogBytes)
	q := newQueue(&s.backlog)
	var working sync.WaitGroup
	defer working.Wait()
	defer q.Close()
	var n *node // nil: the first message has not come
	began := s.options.Now()
	for {
		select {
		case <-q.broken:
			s.counts.invalid.Add(1)
			return status.Error(codes.InvalidArgument, alslog.ErrMalformed.Error())
		default:
		}
		var f frame
		if err := stream.RecvMsg(&f); err != nil {
			if n == nil {
				peer.Reset()
			}
			return ended(stream, err)
		}
		arrived := s.options.Now()
		s.counts.messages.Add(1)
		s.counts.bytes.Add(uint64(f.data.Len()))
		if n == nil {
			joined, upstream, err := s.identify(f.data.ReadOnlyData(), peer)
			if err != nil {
				f.data.Free()
				return err
			}
			n = joined
			w := newWorker(s, n, upstream)
			w.peer = peer
			defer w.leave()
			working.Go(func() { q.work(w) })
		}
		q.Push(backlog.Message{Data: f.data, Arrived: arrived}, s.drop)
		if n.astray(began, arrived) {
			return status.Error(codes.Unavailable, "another replica says how densely this proxy logs: its log belongs there")
		}
	}
}

// identify reads from the first message of a stream which proxy sends it, and to which upstream its connections are; empty: it is
// a stream of requests.
func (s *Server) identify(data []byte, peer *guard.Peer) (n *node, upstream string, err error) {
	var m alslog.Message
	if err := m.Read(data); err != nil {
		s.counts.invalid.Add(1)
		return nil, "", status.Error(codes.InvalidArgument, err.Error())
	}
	id := string(m.Node)
	upstream, ours := wire.ParseLog(string(m.Log))
	if !m.Identified || !wire.ValidNodeID(id) || !ours {
		s.counts.invalid.Add(1)
		return nil, "", status.Errorf(codes.InvalidArgument,
			"the first message names node %.64q and log %.64q; must name a node in at most %d printable bytes, and log %q", m.Node, m.Log, wire.MaxNodeID, wire.RequestLog)
	}
	if err := peer.Admit(guard.AccessLog, id, string(m.Cluster)); err != nil {
		return nil, "", err
	}
	if n = s.join(id, peer.Name()); n == nil {
		return nil, "", peer.Refuse(guard.AccessLog, guard.Metadata, fmt.Sprintf("there are streams of as many proxies as are remembered, which are %d, and %d of one identity", maxNodes, maxOwned))
	}
	return n, upstream, nil
}

// drop counts the entries of a message that is dropped, and frees it.
func (s *Server) drop(data mem.Buffer) {
	var m alslog.Message
	_ = m.Read(data.ReadOnlyData()) // the count is right up to the error
	s.counts.dropped.Add(uint64(m.Len()))
	data.Free()
}

// ended returns what the handler of a stream returns for the error that ended it. A proxy that leaves is no error.
func ended(stream grpc.ServerStream, err error) error {
	if errors.Is(err, io.EOF) {
		return stream.SendMsg(&alsv3.StreamAccessLogsResponse{})
	}
	if status.Code(err) == codes.Canceled {
		return nil
	}
	return err
}
