package discovery

import (
	"time"

	runtimev3 "github.com/envoyproxy/go-control-plane/envoy/service/runtime/v3"

	"breakwater.dev/xds"
)

// defaultTTL is how long a proxy keeps a runtime layer without hearing of it.
const defaultTTL = 15 * time.Second

// heartbeats is how many of them there are in one TTL, so that one may be lost.
const heartbeats = 3

// gates are the runtime layers that proxies get.
type gates struct {
	*xds.Gates
	number uint64 // from 1
}

// PublishGates makes g what proxies get as their runtime layer, at once. Where decided is
// set, it is measured from then on how long all proxies take to obey.
func (s *Server) PublishGates(g *xds.Gates, decided time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := &gates{Gates: g, number: s.gates.Load().number + 1}
	waiting := 0
	for st := range s.streams {
		if st.layered.Load() {
			waiting++
		}
	}
	if !decided.IsZero() {
		s.rollouts.begin(next.number, decided, waiting)
	}
	s.gates.Store(next)
	for st := range s.streams {
		if st.layered.Load() {
			signal(st.layer)
		}
	}
}

// signal wakes who waits for c, which holds one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it has yet to look, and will find the latest
	}
}

// layered is what a stream knows of its proxy's runtime layer.
type layered struct {
	sent   *gates // of the last response; nil: none yet
	sentAt time.Time
	// obeyed is the number up to which no rollout waits for this stream.
	obeyed uint64
	// beat fires when the layer is to be sent again.
	beat *time.Timer
}

// startLayer is called when the proxy has asked for its runtime layer.
func (st *stream) startLayer(s *subscription) {
	st.server.mu.Lock()
	st.runtime.obeyed = st.server.gates.Load().number
	st.layered.Store(true)
	st.server.mu.Unlock()
	// What it has of an earlier stream will be gone when its TTL is over.
	s.stale = true
}

// flushLayer sends the proxy's runtime layer if it lacks it, or has not heard of it for
// long. It depends on nothing else that is sent, and nothing else waits for it.
func (st *stream) flushLayer() error {
	st.mu.Lock()
	r := st.planLayer()
	st.mu.Unlock()
	if r == nil {
		return nil
	}
	return ended(r.send())
}

func (st *stream) planLayer() *response {
	s := st.subs[xds.RuntimeType]
	if s == nil || s.inFlight {
		return nil
	}
	g, rt := st.server.gates.Load(), &st.runtime
	layer := g.Layer(st.node.ID)
	now := st.server.options.Now()
	_, parked := s.refused[layer.Name]
	s.ttl = 0
	if lives(layer) {
		s.ttl = st.server.options.TTL
		if s.stale || rt.sent != nil && !parked && now.Sub(rt.sentAt) >= s.ttl/heartbeats {
			st.expired(now)
			s.repeat(layer.Name)
			s.version = ""
		}
	}
	s.stale = false
	st.seq++
	r := st.protocol.respond(xds.RuntimeType, st.seq, s, []*xds.Resource{layer}, true)
	if r == nil {
		st.obey(g.number, parked) // it was sent this already
		return nil
	}
	rt.sent, rt.sentAt = g, now
	rt.beat.Stop()
	if s.ttl > 0 {
		rt.beat.Reset(s.ttl / heartbeats)
	}
	st.server.pushed(xds.RuntimeType, r.size)
	return r
}

// expired tells that the proxy had no layer for a while: this process was stopped, or
// the proxy did not answer.
func (st *stream) expired(now time.Time) {
	rt, ttl := &st.runtime, st.server.options.TTL
	if rt.sent != nil && now.Sub(rt.sentAt) >= ttl {
		st.server.options.Obeyed(st.node.ID, nil, rt.sentAt.Add(ttl))
	}
}

// lives tells whether a layer has a time to live: one without keys is no other than none.
func lives(layer *xds.Resource) bool {
	return len(layer.Message.(*runtimev3.Runtime).GetLayer().GetFields()) > 0
}

// answered takes the proxy's answer to a layer.
func (st *stream) answered(refused bool) {
	g := st.runtime.sent
	if !refused {
		st.server.options.Obeyed(st.node.ID, g.Gates, st.server.options.Now())
	}
	st.obey(g.number, refused)
}

// obey tells the rollouts up to a number that they need not wait for this stream.
func (st *stream) obey(number uint64, refused bool) {
	if rt := &st.runtime; number > rt.obeyed {
		st.server.rollouts.pass(rt.obeyed, number, refused)
		rt.obeyed = number
	}
}

// leaveLayer is called when the stream has ended: nobody waits for it, and what the proxy
// has falls away with its TTL.
func (st *stream) leaveLayer() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.runtime.beat.Stop()
	if !st.layered.Load() {
		return
	}
	st.obey(st.server.gates.Load().number, false)
	if rt := &st.runtime; rt.sent != nil && lives(rt.sent.Layer(st.node.ID)) {
		st.server.options.Obeyed(st.node.ID, nil, rt.sentAt.Add(st.server.options.TTL))
	}
}
