package extproc

import (
	"errors"
	"io"
	"maps"
	"sync/atomic"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"breakwater.dev/breaker"
	"breakwater.dev/internal/guard"
	"breakwater.dev/policy"
	"breakwater.dev/wire"
)

// Server is the ext_proc service. It is safe for concurrent use.
type Server struct {
	extprocv3.UnimplementedExternalProcessorServer
	options Options
	table   atomic.Pointer[table]
	counts  counters
}

// Options connect a server with the rest of the process. All are required.
type Options struct {
	// Process identifies this process among those that give permits for the same breakers.
	Process uint32
	// Decider decides about the calls.
	Decider breaker.Decider
	// Now reads the engine's clock.
	Now func() breaker.Instant
	// Observe gets the service's time of every call that had an outcome. ObserveTotal gets the whole time of every
	// call that had a response. Both are called on the request's path, so they must be fast.
	Observe, ObserveTotal func(breaker.Key, time.Duration)
}

// table is the breakers of a set, by their keys as text. It is immutable.
type table struct {
	set     *policy.Set // nil: none was applied
	targets map[string]*target
}

// target is a breaker that streams can name. It is immutable.
type target struct {
	key        breaker.Key
	name       string // the key as text
	lease      time.Duration
	blameAfter time.Duration // the age at which an unresolved probe counts against its proxy; 0: never
	perNode    bool          // each proxy has its own breaker
	rules      wire.Rules
	slow       time.Duration // calls that take this long are slow; 0: none are
	enforced   bool          // calls may be rejected
	fallback   policy.Response
	toFallback *extprocv3.ProcessingResponse // see the function of this name
}

// NewServer returns a server that lets all requests pass until the first [Server.Apply].
func NewServer(o Options) *Server {
	s := &Server{options: o}
	s.table.Store(&table{targets: map[string]*target{}})
	return s
}

// Register adds the service to a gRPC server.
func (s *Server) Register(r grpc.ServiceRegistrar) {
	extprocv3.RegisterExternalProcessorServer(r, s)
}

// Serves reports whether a method belongs to this service.
func Serves(method string) bool { return method == extprocv3.ExternalProcessor_Process_FullMethodName }

// Apply replaces the breakers that streams can name by those in set, which the decider has already. Open streams keep the
// breaker with which they began.
func (s *Server) Apply(set *policy.Set) {
	old := s.table.Load()
	change := set.Since(old.set)
	next := &table{set, maps.Clone(old.targets)}
	for _, u := range change.Gone {
		for r := range u.Breakers() {
			delete(next.targets, r.Breaker.Spec.Key.String())
		}
	}
	for _, u := range change.New {
		for r := range u.Breakers() {
			t := newTarget(u, r)
			next.targets[t.name] = t
		}
	}
	s.table.Store(next)
}

func newTarget(u *policy.Upstream, r *policy.Route) *target {
	b := r.Breaker
	return &target{
		key: b.Spec.Key, name: b.Spec.Key.String(), lease: b.Spec.Lease, blameAfter: blameAfter(r), perNode: b.Spec.PerNode,
		fallback: b.Fallback.Response, toFallback: toFallback(&b.Fallback),
		slow: b.Spec.Config.SlowCallDurationThreshold, enforced: b.Spec.Config.Mode != breaker.MetricsOnly,
		rules: wire.Rules{
			Classify: b.Classify, GRPC: u.Protocol == policy.GRPC, ClientGone: b.Spec.ClientGone,
			Timeout: r.Timeout,
		},
	}
}

// blameAfter returns how long a probe may hold its permit before that counts against its proxy: almost the whole lease,
// since the lease is longer than the route's timeout by more than an honest proxy needs. It is 0 if the route has no
// timeout: then a probe may last longer than its lease, and no proxy is to blame.
func blameAfter(r *policy.Route) time.Duration {
	if r.Timeout == 0 && r.ResponseHeaderTimeout == 0 {
		return 0
	}
	lease := r.Breaker.Spec.Lease
	return max(lease*15/16, lease-time.Second)
}

// Process serves the stream of one request. Envoy cancels the stream when the request is over, and also when the client
// leaves; the difference is whether the call has an outcome by then. So the permit is always resolved when the function
// returns, whatever the reason.
func (s *Server) Process(stream extprocv3.ExternalProcessor_ProcessServer) error {
	s.counts.streams.Add(1)
	defer s.counts.streams.Add(-1)
	peer := guard.PeerFrom(stream.Context())
	if err := peer.Take(guard.ExtProc, guard.CallBytes); err != nil {
		return err
	}
	defer peer.Give(guard.ExtProc, guard.CallBytes)
	if err := peer.AdmitCall(""); err != nil {
		return err
	}
	md, _ := metadata.FromIncomingContext(stream.Context())
	c := call{
		server: s, peer: peer, target: s.target(md[wire.BreakerMetadata]), ctx: stream.Context(),
		needsMark: len(md[wire.AskingMetadata]) > 0, canFallBack: len(md[wire.FallbackMetadata]) > 0,
	}
	defer c.end()
	for first := true; ; first = false {
		m, err := stream.Recv()
		if err != nil {
			if first {
				peer.Reset()
			}
			return streamError(err)
		}
		answer, last := c.handle(m)
		if c.refused != nil {
			return c.refused
		}
		if answer == nil {
			s.counts.errors.Add(1)
			return status.Errorf(codes.InvalidArgument, "unexpected message %T: this processor takes headers and trailers", m.GetRequest())
		}
		if err := stream.Send(answer); err != nil {
			return streamError(err)
		}
		if last {
			return nil
		}
	}
}

// target returns the breaker that a stream's metadata names, or nil if there is none.
func (s *Server) target(names []string) *target {
	if len(names) == 1 {
		if t := s.table.Load().targets[names[0]]; t != nil {
			return t
		}
	}
	// A proxy may still have a route from an earlier policy.
	s.counts.unknownBreakers.Add(1)
	return nil
}

// streamError returns the result of a handler whose stream ended with err. The end of a request is no error.
func streamError(err error) error {
	if errors.Is(err, io.EOF) || status.Code(err) == codes.Canceled {
		return nil
	}
	return err
}
