package extproc

import (
	"context"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"breakwater.dev/breaker"
	"breakwater.dev/internal/guard"
	"breakwater.dev/internal/lockorder"
	"breakwater.dev/wire"
)

// streaming is how long the trailers of a probe may take after its headers. After that it is
// a stream, and a success at its headers.
const streaming = 100 * time.Millisecond

// call is one request on its way through the processor.
type call struct {
	server   *Server
	peer     *guard.Peer
	ctx      context.Context // of the stream
	target   *target         // nil: no breaker
	refused  error           // the stream ends with it
	marking  bool            // the call falls back unless it is marked
	falling  bool            // the proxy sees to the fallback of a call that is marked as rejected
	begun    breaker.Instant
	asked    bool // the breaker was asked
	grpc     bool // caller and upstream speak gRPC
	whole    bool // the request has nothing but headers
	upgrade  bool // it is to become a socket
	deadline time.Duration

	mu      lockorder.Mutex[lockorder.ExtProcCall] // guards what follows, against the timer of a probe
	subject breaker.Subject
	permit  breaker.Lease
	held    bool            // the permit is out
	probe   bool            // of a breaker that was half-open
	settled breaker.Instant // when a probe that has become a stream was settled; 0: it was not
	ending  wire.Ending     // as far as it is known
	timer   *time.Timer
	lease   *time.Timer // of a probe
}

// handle takes one message and returns its answer, and whether the exchange is over
// with it. A message of a kind that the filter was not told to send has no answer.
func (c *call) handle(m *extprocv3.ProcessingRequest) (answer *extprocv3.ProcessingResponse, last bool) {
	switch r := m.GetRequest().(type) {
	case *extprocv3.ProcessingRequest_RequestHeaders:
		return c.admit(r.RequestHeaders, m.GetAttributes())
	case *extprocv3.ProcessingRequest_ResponseHeaders:
		if c.judge(r.ResponseHeaders, m.GetAttributes()) {
			return reject(&c.target.fallback, 0), false // the proxy ends the stream
		}
		return continueResponseHeaders, false
	case *extprocv3.ProcessingRequest_ResponseTrailers:
		c.conclude(value(r.ResponseTrailers.GetTrailers(), "grpc-status"))
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
	if c.target == nil || c.asked {
		return admitting(c.marking, ""), false
	}
	c.asked, c.upgrade = true, wire.IsUpgrade(value(h.GetHeaders(), "upgrade"))
	c.whole = h.GetEndOfStream() || c.upgrade
	c.grpc = c.target.rules.GRPC && wire.IsGRPC(value(h.GetHeaders(), "content-type"))
	c.deadline = wire.DeadlineOf(value(h.GetHeaders(), "grpc-timeout"))
	c.begun = c.server.options.Now()
	if c.subject, c.refused = c.target.subject(attributes, c.peer); c.refused != nil {
		return nil, true
	}
	if !c.peer.May(c.target.key.Upstream) {
		return c.unheard()
	}
	permit, decision := c.server.options.Decider.Acquire(c.ctx, c.subject, !c.whole, c.begun)
	if decision.Admitted && permit.Probe() != 0 && !c.peer.Probes(c.target.name) {
		decision = permit.Refuse(c.begun) // it is for others
	}
	if !decision.Admitted {
		return c.reject(decision.RetryAfter)
	}
	c.server.counts.admitted.Add(1)
	c.permit, c.held = permit, true
	if id := permit.Probe(); id != 0 {
		c.probe = true
		if late := c.target.late; late > 0 {
			c.lease = time.AfterFunc(late, c.overdue)
		}
		return admitting(c.marking, wire.Probe(c.server.options.Process, id)), false
	}
	return admitting(c.marking, ""), false
}

func (c *call) reject(retryAfter time.Duration) (answer *extprocv3.ProcessingResponse, last bool) {
	c.server.counts.rejected.Add(1)
	if c.target.onward != nil && c.falling {
		return c.target.onward, true
	}
	return reject(&c.target.fallback, retryAfter), true
}

// unheard is for a call whose proxy does not say that it calls the upstream: it is let through
// or rejected as the state is, and whatever becomes of it, nobody is told. So a proxy that has
// just come back is no worse off, and one that lies changes nothing.
func (c *call) unheard() (answer *extprocv3.ProcessingResponse, last bool) {
	c.peer.RefuseReport(guard.ExtProc, c.target.key.Upstream)
	s, known := c.server.options.Decider.Status(c.subject.Key, c.begun)
	if !known && c.subject.Key.Node != "" { // the proxy has no breaker of its own yet
		s, _ = c.server.options.Decider.Status(c.target.key, c.begun)
	}
	if s.State == breaker.Closed || !s.Rejects() {
		return admitting(c.marking, ""), false
	}
	return c.reject(s.RetryAfter)
}

// overdue hears that the lease of a probe is all but over.
func (c *call) overdue() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held && c.permit.Held() {
		c.peer.Overdue(c.target.name, c.target.lease)
	}
}

// judge takes the response's headers. They come without a permit when a filter
// before this one has answered, and say nothing then. Failures and slow calls are settled at
// once, and so are probes. Another response may still break off. A probe that was sent to nobody
// falls back: its caller is to see no more of half-open than others. Its caller gets the fallback's
// response, of whatever kind the fallback is: at the headers of a response a call cannot be routed again.
func (c *call) judge(h *extprocv3.HttpHeaders, attributes map[string]*structpb.Struct) (fallsBack bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.held {
		return false
	}
	c.ending = ending(h, attributes)
	e := &c.ending
	e.GRPC, e.Probe, e.Deadline = c.grpc, c.probe, c.deadline
	now := c.server.options.Now()
	requestEnd, headers := wire.Times(value(h.GetHeaders(), wire.TimesHeader))
	if c.whole {
		requestEnd = max(requestEnd, 0)
	}
	e.Clock(requestEnd, headers, now.Sub(c.begun), c.upgrade)
	c.begun = min(c.begun, now.Add(-e.Lasted)) // it took a while to ask
	o, known := e.AtHeaders(&c.target.rules)
	switch slow := c.target.slow; {
	case known && (o != breaker.Success || c.probe || h.GetEndOfStream() || slow > 0 && e.Took >= slow):
		c.settle(now)
	case c.probe:
		c.timer = time.AfterFunc(streaming, c.becomesStream)
	case slow == 0 || e.Took < slow:
		c.permit.Answered(now) // it succeeds when it has ended
	}
	return c.probe && c.target.enforced && e.Unsent()
}

// conclude takes the trailers of a gRPC call.
func (c *call) conclude(status string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ending.Responded {
		return
	}
	now := c.server.options.Now()
	c.ending.GRPCStatus, c.ending.Lasted = wire.GRPCStatusOf(status), now.Sub(c.begun)
	if c.held {
		c.settle(now)
		return
	}
	// It was taken for a stream, and counted as a success.
	if o := c.ending.Settled(&c.target.rules); c.settled != 0 && c.ending.Corrects(breaker.Success, o) {
		c.server.options.Decider.Report(c.subject, []breaker.Reported{{
			Outcome: o, At: now, Duration: c.ending.Took, Lasted: c.ending.Lasted, Probe: true, Corrects: true, Was: breaker.Success, Settled: c.settled,
		}}, now)
	}
}

// becomesStream settles a gRPC call whose trailers have not followed its headers.
func (c *call) becomesStream() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held {
		c.settled = c.server.options.Now()
		c.settle(c.settled)
	}
}

// settle resolves the permit by what is known of the call.
func (c *call) settle(now breaker.Instant) {
	c.held = false
	o := c.ending.Settled(&c.target.rules)
	unsent := c.ending.Unsent()
	if unsent {
		c.permit.Unsent(o, c.ending.Took, now)
	} else {
		c.permit.Settle(o, c.ending.Took, now)
	}
	if c.probe && c.ending.Responded {
		c.peer.Kept(c.target.name)
	}
	if unsent && c.probe {
		return // it took nobody any time
	}
	if o != breaker.Ignored && o != breaker.Abandoned {
		c.server.options.Observe(c.target.key, c.ending.Took)
	}
}

// end resolves a permit that is still out when the stream is over. Why there was no response, or
// no end of one, is not known here: the log of the call says so, and corrects this.
func (c *call) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range []*time.Timer{c.timer, c.lease} {
		if t != nil {
			t.Stop()
		}
	}
	if !c.held && !c.ending.Responded {
		return
	}
	now := c.server.options.Now()
	if c.held {
		c.settle(now)
	}
	if c.ending.Responded {
		c.server.options.ObserveTotal(c.target.key, now.Sub(c.begun))
	}
}

// value returns a header's value; Envoy sends values in raw_value, and names in lower case.
func value(h *corev3.HeaderMap, name string) string {
	for _, v := range h.GetHeaders() {
		if v.GetKey() == name {
			return text(v)
		}
	}
	return ""
}

func text(v *corev3.HeaderValue) string {
	if raw := v.GetRawValue(); raw != nil {
		return string(raw)
	}
	return v.GetValue()
}

// seconds rounds up, so that a caller who waits so long is not rejected again for
// having been early.
func seconds(d time.Duration) int64 {
	return int64((d + time.Second - 1) / time.Second)
}
