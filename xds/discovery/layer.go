package discovery

import (
	"time"

	"breakwater.dev/gate"
	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery/internal/protocol"
	"breakwater.dev/xds/discovery/internal/rollout"
)

const (
	// defaultTTL is how long a proxy keeps a runtime layer that is not sent again.
	defaultTTL = 15 * time.Second
	// briefly divides the TTL of a layer that has gates of breakers on their way back: they reject calls to services that
	// may be well again.
	briefly = 5
	// heartbeats is how often a layer is sent in one TTL, so that one may be lost.
	heartbeats = 3
)

// ttl returns how long a proxy keeps its layer when it is not sent again.
func (s *Server) ttl(g *rollout.Gates, node string) time.Duration {
	if g.Gates().Brief(node) {
		return max(s.options.TTL/briefly, min(s.options.TTL, time.Second))
	}
	return s.options.TTL
}

// PublishGates sends set to all proxies, as their runtime layers, at once. Unless decided is zero, [Options.Propagated]
// reports how long it took from then until the last proxy whose layer changes has answered. An error means that nothing
// has changed.
func (s *Server) PublishGates(set *gate.Set, decided time.Time) error {
	layers, err := xds.NewLayers(set)
	if err != nil {
		return err
	}
	s.rollouts.Publish(layers, decided)
	return nil
}

// layerBytes returns the size of the runtime layer of proxies that have no gates of their own.
func (s *Server) layerBytes() int { return len(s.rollouts.Current().Layer("").Value()) }

// RolloutCounts count the changes of the gates that were measured.
type RolloutCounts = rollout.Counts

// rtdsState is a stream's knowledge of its proxy's runtime layer (Envoy: RTDS). It belongs to the goroutine that runs the
// stream.
type rtdsState struct {
	gates     *rollout.Gates // in the last response, or else the gates that the proxy came with; nil: neither
	sentAt    time.Time      // when the last response was sent; zero: there is none
	ttl       time.Duration  // in the last response
	heartbeat *time.Timer    // when to send the layer again
	// cameWithoutLayer says that the proxy came without a layer, and that this was not reported yet.
	cameWithoutLayer bool
	// The proxy's answers that were not reported yet:
	taken       *rollout.Gates // the gates that it applies now; nil: nothing new
	ackedNumber uint64         // the number of the gates up to which it has answered; 0: nothing new
	refused     bool           // its last answer was a NACK
}

// flushLayer sends the proxy's runtime layer if the proxy lacks it, or if a heartbeat is due. The layer depends on no other
// resource, and no other resource waits for it.
func (st *stream) flushLayer() error {
	st.tellLayer() // report the previous layer's result before the next one is sent, even when gates change quickly
	st.mu.Lock()
	r := st.planLayer()
	st.mu.Unlock()
	if r == nil {
		st.tellLayer()
		return nil
	}
	if err := st.queue(r); err != nil {
		return err
	}
	if err := st.rpc.Send(r); err != nil {
		return ended(err)
	}
	st.server.pushed(xds.RuntimeType, r.Size())
	return nil
}

// planLayer decides whether the layer is sent now, and sets the heartbeat while it has keys. A refused layer gets no
// heartbeats: the proxy drops it, and it is only tried again after its pause. The caller holds st.mu.
func (st *stream) planLayer() *protocol.Response {
	s := st.proxy.Subscription(xds.RuntimeType)
	if s == nil || s.Pending() {
		return nil // a heartbeat that is due by then is sent when the answer comes
	}
	rt, g, now := &st.runtime, st.server.rollouts.Current(), st.server.options.Now()
	layer := g.Layer(st.node.ID)
	s.Retry(now)
	refused := s.Refuses(layer.Name)
	ttl, rest := time.Duration(0), time.Duration(0) // rest is the time until the heartbeat is due
	if needsTTL(layer) && s.Wants(layer.Name) {
		ttl = st.server.ttl(g, st.node.ID)
		rest = rt.sentAt.Add(ttl / heartbeats).Sub(now)
		if rest <= 0 && !refused {
			s.SendAgain(layer.Name)
		}
	}
	s.SetTTL(ttl)
	if r := st.proxy.Respond(xds.RuntimeType, st.server.pool.List([]*xds.Resource{layer}), protocol.RemoveAll); r != nil {
		rt.gates, rt.sentAt, rt.ttl = g, now, ttl
		return r // its answer leads here again
	}
	// The proxy has this layer, or has refused it.
	if rt.gates == nil {
		rt.gates, rt.taken = g, g
	}
	rt.ackedNumber, rt.refused = g.Number, refused
	if ttl > 0 && rest > 0 {
		rt.heartbeat.Reset(rest)
	}
	return nil
}

// needsTTL reports whether the layer has keys. An empty layer equals no layer and never expires.
func needsTTL(layer *xds.Resource) bool { return !xds.IsEmptyLayer(layer) }

// joinLayer adds the stream to the rollouts, when its proxy first asks for its layer. The caller holds st.mu.
func (st *stream) joinLayer(resumed bool) {
	st.runtime.cameWithoutLayer = !resumed
	st.server.rollouts.Join(st.follower, st.node.ID)
}

// answered records the proxy's answer to its layer.
func (st *stream) answered(refused bool) {
	rt := &st.runtime
	rt.ackedNumber, rt.refused = rt.gates.Number, refused
	if !refused {
		rt.taken = rt.gates
	}
}

// starting is how long a proxy may run before it asks for its layer. It has no gates then, and calls that it serves right
// afterwards may seem to have begun before it asked.
const starting = time.Second

// tellLayer reports the proxy's answers to its layer. The caller holds no lock.
func (st *stream) tellLayer() {
	rt, o := &st.runtime, &st.server.options
	if rt.cameWithoutLayer {
		rt.cameWithoutLayer = false
		o.Applied(st.node.ID, nil, st.connected.Add(-starting))
	}
	if rt.ackedNumber > 0 {
		st.propagated(st.server.rollouts.Pass(st.follower, rt.ackedNumber, rt.refused))
		rt.ackedNumber = 0
	}
	g, now := rt.taken, o.Now()
	if g == nil {
		return
	}
	rt.taken = nil
	if !needsTTL(g.Layer(st.node.ID)) {
		o.Applied(st.node.ID, g.Gates(), now)
		return
	}
	// A proxy that answers later than this has dropped the layer, and is sent it again.
	if gone := rt.sentAt.Add(rt.ttl); now.Before(gone) {
		o.Applied(st.node.ID, g.Gates(), now)
		o.Applied(st.node.ID, nil, gone)
	}
}

// leaveLayer removes the stream from the rollouts, when it has ended.
func (st *stream) leaveLayer() {
	st.runtime.heartbeat.Stop()
	st.propagated(st.server.rollouts.Leave(st.follower))
}

func (st *stream) propagated(took []time.Duration) {
	for _, d := range took {
		st.server.options.Propagated(d)
	}
}
