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

// trailerWait is how long the trailers of a probe may take after its headers. After that time the probe counts as a
// stream, and as a success.
const trailerWait = 100 * time.Millisecond

// call is one request on its way through the processor.
type call struct {
	server      *Server
	peer        *guard.Peer
	ctx         context.Context // the stream's context
	target      *target         // nil: no breaker
	refused     error           // ends the stream, if it is set
	needsMark   bool            // the call gets its fallback unless the answer marks it as admitted
	canFallBack bool            // the proxy sends a call to its fallback if the answer marks it as rejected
	start       breaker.Instant // when the call began
	asked       bool            // the breaker was asked
	grpc        bool            // caller and upstream speak gRPC
	noBody      bool            // nothing follows the request's headers, or the request is an upgrade
	upgrade     bool            // the request asks for a WebSocket
	deadline    time.Duration   // the client's own time limit; 0: none

	mu      lockorder.Mutex[lockorder.ExtProcCall] // guards the fields below against the timers
	subject breaker.Subject
	permit  breaker.Lease
	held    bool            // the permit is not resolved yet
	probe   bool            // the permit is for a probe
	settled breaker.Instant // when a probe was settled as a stream; 0: it was not
	ending  wire.Ending     // as far as it is known
	timer   *time.Timer     // calls treatAsStream
	lease   *time.Timer     // calls overdue
}

// handle processes one message and returns the answer to it. last reports whether the exchange is over after the
// answer. A message that the proxy's filter should not send has no answer.
func (c *call) handle(m *extprocv3.ProcessingRequest) (answer *extprocv3.ProcessingResponse, last bool) {
	switch r := m.GetRequest().(type) {
	case *extprocv3.ProcessingRequest_RequestHeaders:
		return c.admit(r.RequestHeaders, m.GetAttributes())
	case *extprocv3.ProcessingRequest_ResponseHeaders:
		if c.judge(r.ResponseHeaders, m.GetAttributes()) {
			return reject(&c.target.fallback, 0), false // the proxy ends the stream after this answer
		}
		return continueResponseHeaders, false
	case *extprocv3.ProcessingRequest_ResponseTrailers:
		c.conclude(value(r.ResponseTrailers.GetTrailers(), "grpc-status"))
		return continueResponseTrailers, true
	default:
		return nil, true
	}
}

// The answers that let a request or a response pass unchanged. They are shared, and must not be changed.
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

// admit asks the breaker for a permit, and returns the answer to the request's headers. Envoy sends these only once; if
// they came again, they would get no second permit.
func (c *call) admit(h *extprocv3.HttpHeaders, attributes map[string]*structpb.Struct) (answer *extprocv3.ProcessingResponse, last bool) {
	if c.target == nil || c.asked {
		return admitting(c.needsMark, ""), false
	}
	c.asked, c.upgrade = true, wire.IsUpgrade(value(h.GetHeaders(), "upgrade"))
	c.noBody = h.GetEndOfStream() || c.upgrade
	c.grpc = c.target.rules.GRPC && wire.IsGRPC(value(h.GetHeaders(), "content-type"))
	c.deadline = wire.DeadlineOf(value(h.GetHeaders(), "grpc-timeout"))
	c.start = c.server.options.Now()
	if c.subject, c.refused = c.target.subject(attributes, c.peer); c.refused != nil {
		return nil, true
	}
	if !c.peer.May(c.target.key.Upstream) {
		return c.decideUnlisted()
	}
	permit, decision := c.server.options.Decider.Acquire(c.ctx, c.subject, !c.noBody, c.start)
	if decision.Admitted && permit.Probe() != 0 && !c.peer.Probes(c.target.name) {
		decision = permit.Refuse(c.start) // this proxy must leave probes to other proxies for now
	}
	if !decision.Admitted {
		return c.reject(decision.RetryAfter)
	}
	c.server.counts.admitted.Add(1)
	c.permit, c.held = permit, true
	if id := permit.Probe(); id != 0 {
		c.probe = true
		if late := c.target.blameAfter; late > 0 {
			c.lease = time.AfterFunc(late, c.overdue)
		}
		return admitting(c.needsMark, wire.Probe(c.server.options.Process, id)), false
	}
	return admitting(c.needsMark, ""), false
}

// reject returns the answer to a call that got no permit.
func (c *call) reject(retryAfter time.Duration) (answer *extprocv3.ProcessingResponse, last bool) {
	c.server.counts.rejected.Add(1)
	if c.target.toFallback != nil && c.canFallBack {
		return c.target.toFallback, true
	}
	return reject(&c.target.fallback, retryAfter), true
}

// decideUnlisted returns the answer for a call to an upstream that its proxy does not list. The breaker's state decides
// about the call, and the call's outcome is not reported. So a proxy that has just reconnected works as before, and a
// proxy that lies has no effect on the breaker.
func (c *call) decideUnlisted() (answer *extprocv3.ProcessingResponse, last bool) {
	c.peer.RefuseReport(guard.ExtProc, c.target.key.Upstream)
	s, known := c.server.options.Decider.Status(c.subject.Key, c.start)
	if !known && c.subject.Key.Node != "" { // the proxy has no own breaker yet
		s, _ = c.server.options.Decider.Status(c.target.key, c.start)
	}
	if s.State == breaker.Closed || !s.Rejects() {
		return admitting(c.needsMark, ""), false
	}
	return c.reject(s.RetryAfter)
}

// overdue is called when the lease of a probe is almost over.
func (c *call) overdue() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held && c.permit.Held() {
		c.peer.Overdue(c.target.name, c.target.lease)
	}
}

// judge processes the response's headers. It settles failures, slow calls and probes at once; another response may still
// break off. Without a permit it ignores the headers, since they come from a filter before this one.
//
// fallsBack reports whether the caller must get the fallback's response: its call was a probe that was sent to no
// endpoint, and callers should not notice half-open. The policy's fallback may be another one, but the proxy cannot route a
// call again at the headers of its response.
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
	if c.noBody {
		requestEnd = max(requestEnd, 0)
	}
	e.Clock(requestEnd, headers, now.Sub(c.start), c.upgrade)
	c.start = min(c.start, now.Add(-e.Lasted)) // the call began before its stream did
	o, known := e.AtHeaders(&c.target.rules)
	switch slow := c.target.slow; {
	case known && (o != breaker.Success || c.probe || h.GetEndOfStream() || slow > 0 && e.Took >= slow):
		c.settle(now)
	case c.probe:
		c.timer = time.AfterFunc(trailerWait, c.treatAsStream)
	case slow == 0 || e.Took < slow:
		c.permit.Answered(now) // the call becomes a success when it ends
	}
	return c.probe && c.target.enforced && e.Unsent()
}

// conclude processes the trailers of a gRPC call.
func (c *call) conclude(status string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ending.Responded {
		return
	}
	now := c.server.options.Now()
	c.ending.GRPCStatus, c.ending.Lasted = wire.GRPCStatusOf(status), now.Sub(c.start)
	if c.held {
		c.settle(now)
		return
	}
	// The probe was settled as a stream, with a success.
	if o := c.ending.Settled(&c.target.rules); c.settled != 0 && c.ending.Corrects(breaker.Success, o) {
		c.server.options.Decider.Report(c.subject, []breaker.Reported{{
			Outcome: o, At: now, Duration: c.ending.Took, Lasted: c.ending.Lasted, Probe: true, Corrects: true, Was: breaker.Success, Settled: c.settled,
		}}, now)
	}
}

// treatAsStream settles a gRPC probe whose trailers did not come within trailerWait after its headers.
func (c *call) treatAsStream() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held {
		c.settled = c.server.options.Now()
		c.settle(c.settled)
	}
}

// settle resolves the permit according to the known part of the call's ending.
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
		return // no service took any time for it
	}
	if o != breaker.Ignored && o != breaker.Abandoned {
		c.server.options.Observe(c.target.key, c.ending.Took)
	}
}

// end resolves a permit that is still held when the stream is over. ext_proc does not know why there was no response, or
// why it was incomplete. The log entry of the call does, and corrects the outcome.
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
		c.server.options.ObserveTotal(c.target.key, now.Sub(c.start))
	}
}

// value returns the value of a header, or "" if it is not there. The name is in lower case, as Envoy sends it.
func value(h *corev3.HeaderMap, name string) string {
	for _, v := range h.GetHeaders() {
		if v.GetKey() == name {
			return text(v)
		}
	}
	return ""
}

// text returns the value of a header. Envoy sends it in raw_value; old versions use value.
func text(v *corev3.HeaderValue) string {
	if raw := v.GetRawValue(); raw != nil {
		return string(raw)
	}
	return v.GetValue()
}

// seconds rounds up to whole seconds, so that a caller that waits for that time does not come too early.
func seconds(d time.Duration) int64 {
	return int64((d + time.Second - 1) / time.Second)
}
