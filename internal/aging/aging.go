package aging

import (
	"context"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"breakwater.dev/internal/guard"
)

// quiet is how long a stream that has to end waits for a message, to end behind it.
const quiet = time.Second

// Interceptor returns an interceptor that ends long streams when their connection is old. Age is the MaxConnectionAge of the
// server: at that time, up to 10 % earlier or later, gRPC has the proxy begin no more streams on the connection. Long streams
// never end by themselves, so this ends them with the status OK in the time from 110 % to 130 % of the age. The proxy then begins
// them again, at the replica that is next in turn. An Envoy does not count the status as a failure of the replica. It would count
// a connection that is closed.
//
// The caller leaves out streams that end by themselves. Their connection stays until the last one has ended.
func Interceptor(age time.Duration) grpc.StreamServerInterceptor {
	return func(srv any, inner grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		s := &stream{ServerStream: inner}
		over := time.NewTimer(due(inner.Context(), age))
		defer over.Stop()
		ended := make(chan error, 1)
		go func() { ended <- handler(srv, s) }()
		select {
		case err := <-ended:
			return err
		case <-over.C:
		}
		// A message that crosses the end is lost. Right behind one there is none on its way: proxies collect the next entries first.
		s.over.Store(true)
		over.Reset(quiet)
		select {
		case err := <-ended:
			return err
		case <-over.C:
			return nil // the handler's next message fails, and it returns as when a proxy leaves
		}
	}
}

// due returns how long a stream may go on.
func due(ctx context.Context, age time.Duration) time.Duration {
	since := time.Since(guard.PeerFrom(ctx).Connected())
	// A stream that begins on an old connection gets some time too, so that none begins again and again.
	return max(age+age/10-since, age/10) + rand.N(max(age/5, 1))
}

// stream is a stream that may have to end.
type stream struct {
	grpc.ServerStream
	over atomic.Bool
}

// RecvMsg implements [grpc.ServerStream]. A stream that is over has no more messages, as if the proxy had closed it.
func (s *stream) RecvMsg(m any) error {
	if s.over.Load() {
		return io.EOF
	}
	return s.ServerStream.RecvMsg(m)
}
