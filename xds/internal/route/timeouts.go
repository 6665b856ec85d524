package route

import (
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"breakwater.dev/policy"
	"breakwater.dev/xds/internal/filter"
)

// streamMargin is how much later than its only try a gRPC stream is ended. The try begins later than the stream: the
// control plane may be asked before, and a connection made. The try should end first, since it says more about the
// outcome; and a request that the end of the stream ends has been at the service for the whole timeout by the clock of the
// control plane too, which begins when the proxy asks it.
const streamMargin = filter.MessageTimeout + 100*time.Millisecond

// idleTimeout returns the longest time without data in either direction; 0: there is no limit. Where the policy does not
// say, the idle timeout never comes before the timeout, which says more about the outcome.
func idleTimeout(r *policy.Route) time.Duration {
	switch {
	case r.IdleTimeout > 0:
		return r.IdleTimeout
	case r.Timeout > 0:
		return r.Timeout + filter.StreamIdleTimeout
	default:
		return 0
	}
}

// setHeaderTimeout bounds the time from the end of the request to the headers of the response: the timeout of the only try
// no longer counts once the headers are there (measured with Envoy 1.40).
func setHeaderTimeout(action *routev3.RouteAction, timeout time.Duration) {
	action.RetryPolicy = &routev3.RetryPolicy{PerTryTimeout: durationpb.New(timeout), NumRetries: wrapperspb.UInt32(0)}
}

// setDeadlines ends a gRPC request as gRPC does: whatever it is doing, sending and streaming included, when the policy's
// timeout has passed, or its client's grpc-timeout where that is shorter. A client's deadline gets no margin: whether the
// proxy or the client notices it first, the request counts as one whose client left.
//
// With max_stream_duration Envoy ignores the route's timeout (measured with 1.40). The policy's timeout is therefore the
// timeout of the only try as well, which counts against the endpoint and starts at the end of the request. The limit of
// the stream comes a little later, and ends a response that hangs after its headers.
func setDeadlines(action *routev3.RouteAction, r *policy.Route) {
	limit := &routev3.RouteAction_MaxStreamDuration{
		MaxStreamDuration:    durationpb.New(0), // no limit
		GrpcTimeoutHeaderMax: durationpb.New(0),
	}
	if r.Timeout > 0 {
		limit.MaxStreamDuration = durationpb.New(r.Timeout + streamMargin)
		limit.GrpcTimeoutHeaderMax = limit.MaxStreamDuration
		if r.ResponseHeaderTimeout == 0 {
			setHeaderTimeout(action, r.Timeout)
		}
	}
	action.MaxStreamDuration = limit
}
