package extproc

import (
	"net/http"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"

	"breakwater.dev/breaker"
)

// call is one request on its way through the processor.
type call struct {
	server  *Server
	route   *route // nil: no breaker
	permit  breaker.Permit
	begun   breaker.Instant
	asked   bool // the breaker was asked
	grpc    bool // the caller speaks gRPC
	held    bool // the permit is out
	headers bool // response headers were seen; the outcome comes with the trailers
}

// handle takes one message and returns its answer, and whether the exchange is over
// with it. A message of a kind that the filter was not told to send has no answer.
func (c *call) handle(m *extprocv3.ProcessingRequest) (answer *extprocv3.ProcessingResponse, last bool) {
	switch r := m.GetRequest().(type) {
	case *extprocv3.ProcessingRequest_RequestHeaders:
		return c.admit(r.RequestHeaders, m.GetAttributes())
	case *extprocv3.ProcessingRequest_ResponseHeaders:
		c.judge(responseOf(r.ResponseHeaders, m.GetAttributes()))
		return continueResponseHeaders, false
	case *extprocv3.ProcessingRequest_ResponseTrailers:
		if c.held {
			c.resolve(c.grpcOutcome(value(r.ResponseTrailers.GetTrailers(), "grpc-status")))
		}
		return continueResponseTrailers, true
	default:
		return nil, true
	}
}

// The answers that let a request or a response pass; shared and never changed.
var (
	continueRequestHeaders = &extprocv3.ProcessingResponse{
		Response: &extprocv3.ProcessingResponse_RequestHeaders{RequestHeaders: &extprocv3.HeadersResponse{}},
	}
	continueResponseHeaders = &extprocv3.ProcessingResponse{
		Response: &extprocv3.ProcessingResponse_ResponseHeaders{ResponseHeaders: &extprocv3.HeadersResponse{}},
	}
	continueResponseTrailers = &extprocv3.ProcessingResponse{
		Response: &extprocv3.ProcessingResponse_ResponseTrailers{ResponseTrailers: &extprocv3.TrailersResponse{}},
	}
)

// admit asks the breaker, once. A second set of request headers on one stream does
// not exist in Envoy; if one came, it must not cost a second permit.
func (c *call) admit(h *extprocv3.HttpHeaders, attributes map[string]*structpb.Struct) (answer *extprocv3.ProcessingResponse, last bool) {
	if c.route == nil || c.asked {
		return continueRequestHeaders, false
	}
	c.asked, c.grpc = true, isGRPC(h)
	c.begun = c.server.options.Now()
	permit, decision := c.route.breakerFor(attributes, c.begun).Acquire(c.begun)
	if !decision.Admitted {
		c.server.counts.rejected.Add(1)
		if c.route.onward != nil {
			return c.route.onward, true
		}
		return reject(&c.route.fallback, decision.RetryAfter), true
	}
	c.server.counts.admitted.Add(1)
	c.permit, c.held = permit, true
	return continueRequestHeaders, false
}

// judge takes the response's headers. They come without a permit when a filter
// before this one has answered, and say nothing then.
func (c *call) judge(r response) {
	if !c.held {
		return
	}
	switch {
	case r.origin == ours:
		c.resolve(breaker.Ignored)
	case r.origin == timedOut:
		c.resolve(breaker.Timeout)
	case r.origin == failed:
		c.resolve(breaker.Failure)
	case c.route.grpc && c.grpc && !r.grpc && r.status == http.StatusOK:
		c.resolve(c.grpcOutcome("")) // a page, where a message was to come
	case !c.route.grpc || !r.grpc:
		c.resolve(c.route.classify.HTTP(r.status))
	case r.grpcStatus != "" || r.end:
		c.resolve(c.grpcOutcome(r.grpcStatus))
	default:
		c.headers = true
	}
}

// grpcOutcome classifies a grpc-status. A failure by DEADLINE_EXCEEDED is a timeout
// whoever noticed it first: the upstream has the caller's deadline as well as the proxy.
func (c *call) grpcOutcome(status string) breaker.Outcome {
	code := grpcCode(status)
	outcome := c.route.classify.GRPC(code)
	if outcome == breaker.Failure && codes.Code(code) == codes.DeadlineExceeded {
		return breaker.Timeout
	}
	return outcome
}

func (c *call) resolve(o breaker.Outcome) {
	if !c.held {
		return
	}
	c.held = false
	now := c.server.options.Now()
	c.permit.Done(o, now)
	if o != breaker.Ignored {
		c.server.options.Observe(c.route.key, now.Sub(c.begun))
	}
}

// end resolves a permit that is still out when the stream is over: the client left,
// which says nothing about the upstream. A gRPC call that was answered and then
// cut at its deadline ends so too, since there are no trailers to see; its
// time tells it from a client that lost interest.
func (c *call) end() {
	if !c.held {
		return
	}
	if c.headers && c.route.timeout > 0 && c.server.options.Now().Sub(c.begun) >= c.route.timeout {
		c.resolve(breaker.Timeout)
		return
	}
	c.resolve(breaker.Ignored)
}

// value returns a header's value; Envoy sends values in raw_value, and names in lower case.
func value(h *corev3.HeaderMap, name string) string {
	for _, v := range h.GetHeaders() {
		if v.GetKey() == name {
			if raw := v.GetRawValue(); raw != nil {
				return string(raw)
			}
			return v.GetValue()
		}
	}
	return ""
}

// seconds rounds up, so that a caller who waits so long is not rejected again for
// having been early.
func seconds(d time.Duration) int64 {
	return int64((d + time.Second - 1) / time.Second)
}
