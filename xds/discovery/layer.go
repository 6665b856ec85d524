package discovery

import (
	"time"

	runtimev3 "github.com/envoyproxy/go-control-plane/envoy/service/runtime/v3"

	"breakwater.dev/gate"
	"breakwater.dev/xds"
)

const (
	// defaultTTL is how long a proxy keeps a runtime layer without hearing of it.
	defaultTTL = 15 * time.Second
	// briefly is the part of it for which it keeps one with gates of breakers that are on their way
	// back: they reject calls of services that may be well again.
	briefly = 5
	// heartbeats is how many of them there are in one TTL, so that one may be lost.
	heartbeats = 3
)

// ttl is how long a proxy keeps its layer without hearing of it.
func (s *Server) ttl(g *gates, node string) time.Duration {
	if g.Gates().Brief(node) {
		return max(s.options.TTL/briefly, min(s.options.TTL, time.Second))
	}
	return s.options.TTL
}

// PublishGates makes set what proxies get as their runtime layer, at once. Unless decided is zero, the time is measured
// from then until the last proxy has answered whose layer changes. An error means that nothing has changed.
func (s *Server) PublishGates(set *gate.Set, decided time.Time) error {
	layers, err := xds.NewLayers(set)
	if err != nil {
		return err
	}
	s.rollouts.publish(layers, decided)
	return nil
}

// LayerBytes returns the size of the runtime layer of proxies that have no gates of their own.
func (s *Server) LayerBytes() int { return len(s.rollouts.current.Load().Layer("").Body.GetValue()) }

// layered is what a stream knows of its proxy's runtime layer. All of it is of the
// goroutine that runs the stream.
type layered struct {
	gates  *gates        // of the last response, or those it came with; nil: neither
	sentAt time.Time     // when the last response was; zero: there is none
	ttl    time.Duration // of the last response
	beat   *time.Timer
	// bare tells that the proxy came without a layer, and that this was not told yet.
	bare bool
	// What came of it, and was not told to anybody yet:
	taken   *gates // these are in force; nil: nothing new
	passed  uint64 // the number up to which the proxy has answered
	refused bool   // its last answer was no
}

// flushLayer sends the proxy's runtime layer if it lacks it, or has not heard of it for
// long. It depends on nothing else that is sent, and nothing else waits for it.
func (st *stream) flushLayer() error {
	st.tellLayer() // first, since a hurry of gates is no reason to be late with the last
	st.mu.Lock()
	r := st.planLayer()
	st.mu.Unlock()
	if r == nil {
		st.tellLayer()
		return nil
	}
	if err := st.peer.Queue(int64(r.size), responseBytes); err != nil {
		return err
	}
	if err := r.send(); err != nil {
		return ended(err)
	}
	st.server.pushed(xds.RuntimeType, r.size)
	return nil
}

// planLayer decides whether the layer is sent now, and sees to it that it is sent again
// while it has keys. One that was refused falls away, and is only tried again.
func (st *stream) planLayer() *response {
	s := st.subs[xds.RuntimeType]
	if s == nil || s.inFlight {
		return nil // if it is due then, it is sent when the answer comes
	}
	rt, g, now := &st.runtime, st.server.rollouts.current.Load(), st.server.options.Now()
	layer := g.Layer(st.node.ID)
	s.retry(now)
	_, refused := s.refused[layer.Name]
	s.ttl = 0
	rest := time.Duration(0) // until it is due
	if lives(layer) && s.wants(layer.Name) {
		s.ttl = st.server.ttl(g, st.node.ID)
		rest = rt.sentAt.Add(s.ttl / heartbeats).Sub(now)
		if rest <= 0 && !refused {
			s.repeat(layer.Name)
			s.version = "" // for SotW, whose unit is all of it
		}
	}
	st.seq++
	r := st.protocol.respond(xds.RuntimeType, st.seq, s, []*xds.Resource{layer}, always)
	if r != nil {
		rt.gates, rt.sentAt, rt.ttl = g, now, s.ttl
		return r // its answer leads here again
	}
	// It was sent this already.
	if rt.gates == nil {
		rt.gates, rt.taken = g, g
	}
	rt.passed, rt.refused = g.number, refused
	if s.ttl > 0 && rest > 0 {
		rt.beat.Reset(rest)
	}
	return nil
}

// lives tells whether a layer has a time to live: one without keys is no other than none.
func lives(layer *xds.Resource) bool {
	return len(layer.Message.(*runtimev3.Runtime).GetLayer().GetFields()) > 0
}

// answered takes the proxy's answer to its layer.
func (st *stream) answered(refused bool) {
	rt := &st.runtime
	rt.passed, rt.refused = rt.gates.number, refused
	if !refused {
		rt.taken = rt.gates
	}
}

// starting is how long a proxy may be there before it asks for its layer. It has none
// then, and calls that it serves right afterwards may seem to have begun before it asked.
const starting = time.Second

// tellLayer tells what came of the layer. No lock is held.
func (st *stream) tellLayer() {
	rt, o := &st.runtime, &st.server.options
	if rt.bare {
		rt.bare = false
		o.Applied(st.node.ID, nil, st.connected.Add(-starting))
	}
	if rt.passed > 0 {
		st.propagated(st.server.rollouts.pass(st.follower, rt.passed, rt.refused))
		rt.passed = 0
	}
	g, now := rt.taken, o.Now()
	if g == nil {
		return
	}
	rt.taken = nil
	if !lives(g.Layer(st.node.ID)) {
		o.Applied(st.node.ID, g.Gates(), now)
		return
	}
	// A proxy that answers this late has let the layer go, and is sent it again.
	if gone := rt.sentAt.Add(rt.ttl); now.Before(gone) {
		o.Applied(st.node.ID, g.Gates(), now)
		o.Applied(st.node.ID, nil, gone)
	}
}

// leaveLayer is called when the stream has ended: nothing waits for it any more.
func (st *stream) leaveLayer() {
	st.runtime.beat.Stop()
	st.propagated(st.server.rollouts.leave(st.follower))
}

func (st *stream) propagated(took []time.Duration) {
	for _, d := range took {
		st.server.options.Propagated(d)
	}
}
