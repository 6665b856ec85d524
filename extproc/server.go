package extproc

import (
	"errors"
	"io"
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

// Server is the ext_proc service.
type Server struct {
	extprocv3.UnimplementedExternalProcessorServer
	options Options
	targets atomic.Pointer[map[string]*target]
	streams atomic.Int64
	counts  struct{ admitted, rejected, unknown, invalid atomic.Uint64 }
}

// Options are what a server needs of the process around it. All are required.
type Options struct {
	// Process tells this process from others that give permits for the same breakers.
	Process uint32
	// Decider decides about the calls.
	Decider breaker.Decider
	// Now reads the clock that the engine's instants are of.
	Now func() breaker.Instant
	// Observe gets the service's time of every call that had an outcome, and ObserveTotal the
	// whole time of every call that had a response. They are called on the request's path.
	Observe, ObserveTotal func(breaker.Key, time.Duration)
}

// target is a breaker that streams ask about. It is immutable.
type target struct {
	key      breaker.Key
	name     string // of the key
	lease    time.Duration
	late     time.Duration // when a probe is late that still holds its permit; 0: no probe ever is
	perNode  bool          // each proxy has a breaker of its own
	rules    wire.Rules
	slow     time.Duration // 0: no call is
	enforced bool          // calls may be rejected
	fallback policy.Response
	onward   *extprocv3.ProcessingResponse // sends a rejected call to its fallback in the proxy; nil: the response is all
}

// Counts are totals since the server was made, and what is under way now.
type Counts struct {
	Active   int64  // streams open now
	Admitted uint64 // requests that got a permit
	Rejected uint64 // requests that got the fallback
	Unknown  uint64 // streams for a breaker that the policy does not have; their requests are let through
	Invalid  uint64 // messages that do not belong where they came; they end their stream
}

// NewServer returns a server that admits everything until the first [Server.Apply].
func NewServer(o Options) *Server {
	s := &Server{options: o}
	s.targets.Store(&map[string]*target{})
	return s
}

// Register adds the service to a gRPC server.
func (s *Server) Register(r grpc.ServiceRegistrar) {
	extprocv3.RegisterExternalProcessorServer(r, s)
}

// Apply makes set's breakers the ones that streams can ask about. The decider has them already. Streams that are open go on
// with what they began with.
func (s *Server) Apply(set *policy.Set) {
	targets := map[string]*target{}
	for _, u := range set.Upstreams {
		for _, r := range u.Routes {
			if r.Breaker == nil {
				continue
			}
			key := r.Breaker.Spec.Key
			known := &target{
				key: key, name: key.String(), lease: r.Breaker.Spec.Lease, late: lateAfter(&r), perNode: r.Breaker.Spec.PerNode,
				fallback: r.Breaker.Fallback.Response, onward: onward(&r.Breaker.Fallback),
				slow: r.Breaker.Spec.Config.SlowCallDurationThreshold, enforced: r.Breaker.Spec.Config.Mode != breaker.MetricsOnly,
				rules: wire.Rules{
					Classify: r.Breaker.Classify, GRPC: u.Protocol == policy.GRPC, ClientGone: r.Breaker.Spec.ClientGone,
					Timeout: r.Timeout,
				},
			}
			targets[known.name] = known
		}
	}
	s.targets.Store(&targets)
}

// lateAfter is how long a probe may hold its permit before its proxy is held to blame for it: nearly the whole
// lease, whose last seconds are more than an honest proxy needs. 0: nothing ends a call of the
// route in time, so no proxy is to blame.
func lateAfter(r *policy.Route) time.Duration {
	if r.Timeout == 0 && r.ResponseHeaderTimeout == 0 {
		return 0
	}
	lease := r.Breaker.Spec.Lease
	return max(lease*15/16, lease-time.Second)
}

// Counts returns the totals.
func (s *Server) Counts() Counts {
	return Counts{
		Active:   s.streams.Load(),
		Admitted: s.counts.admitted.Load(),
		Rejected: s.counts.rejected.Load(),
		Unknown:  s.counts.unknown.Load(),
		Invalid:  s.counts.invalid.Load(),
	}
}

// Process serves the stream of one request. Envoy cancels the stream when the
// request is over, and also when the client leaves; which of the two it was shows in
// whether an outcome had been seen by then. That is why the permit is resolved
// when the function returns, whatever made it return.
func (s *Server) Process(stream extprocv3.ExternalProcessor_ProcessServer) error {
	s.streams.Add(1)
	defer s.streams.Add(-1)
	peer := guard.Of(stream.Context())
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
		marking: len(md[wire.AskingMetadata]) > 0, falling: len(md[wire.FallbackMetadata]) > 0,
	}
	defer c.end()
	for first := true; ; first = false {
		m, err := stream.Recv()
		if err != nil {
			if first {
				peer.Reset()
			}
			return ended(err)
		}
		answer, last := c.handle(m)
		if c.refused != nil {
			return c.refused
		}
		if answer == nil {
			s.counts.invalid.Add(1)
			return status.Errorf(codes.InvalidArgument, "unexpected message %T: this processor takes headers and trailers", m.GetRequest())
		}
		if err := stream.Send(answer); err != nil {
			return ended(err)
		}
		if last {
			return nil
		}
	}
}

// target finds the breaker that a stream's metadata names; nil when there is none.
func (s *Server) target(names []string) *target {
	if len(names) == 1 {
		if t := (*s.targets.Load())[names[0]]; t != nil {
			return t
		}
	}
	// A proxy may still have a route whose policy has just gone.
	s.counts.unknown.Add(1)
	return nil
}

// ended turns the end of a stream into what the handler returns: that a request
// is over is no error.
func ended(err error) error {
	if errors.Is(err, io.EOF) || status.Code(err) == codes.Canceled {
		return nil
	}
	return err
}
