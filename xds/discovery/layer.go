package discovery

import (
	"maps"
	"time"

	"breakwater.dev/gate"
	"breakwater.dev/wire"
	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery/internal/lease"
	"breakwater.dev/xds/discovery/internal/message"
	"breakwater.dev/xds/discovery/internal/protocol"
	"breakwater.dev/xds/discovery/internal/rollout"
)

const (
	// defaultTTL is how long a proxy keeps a runtime layer that is not renewed.
	defaultTTL = 15 * time.Second
	// briefly divides the TTL of a layer that has gates of breakers on their way back: they reject calls to services that
	// may be well again.
	briefly = 5
)

// ttls returns how long a proxy keeps the layers with keys among these, by name, when they are not renewed. It keeps a layer without
// keys for ever, which equals no layer.
func (s *Server) ttls(g *rollout.Gates, node string, layers *xds.List) map[string]time.Duration {
	brief, all := g.Gates().Brief(node), map[string]time.Duration{}
	for _, l := range layers.All() {
		if xds.IsEmptyLayer(l) {
			continue
		}
		all[l.Name] = s.options.TTL
		if part, ok := wire.ParseRuntimePart(l.Name); ok && brief>>part&1 != 0 || !ok && brief != 0 {
			all[l.Name] = max(s.options.TTL/briefly, min(s.options.TTL, time.Second))
		}
	}
	return all
}

// PublishGates sends set to all proxies, as their runtime layers, at once. Unless decided is zero, [Options.Propagated]
// reports how long it took from then until the last proxy whose layer changes has answered. An error means that nothing
// has changed. It must not be called by two goroutines at once.
func (s *Server) PublishGates(set *gate.Set, decided time.Time) error {
	layers, err := s.rollouts.Current().Next(set)
	if err != nil {
		return err
	}
	s.rollouts.Publish(layers, decided)
	return nil
}

// layerBytes returns the size of the runtime layer of proxies that have no gates of their own.
func (s *Server) layerBytes() (n int) {
	for _, part := range s.rollouts.Current().Parts("").All() {
		n += len(part.Value())
	}
	return n
}

// RolloutCounts count the changes of the gates that were measured.
type RolloutCounts = rollout.Counts

// rtdsState is a stream's knowledge of its proxy's runtime layers (Envoy: RTDS). It belongs to the goroutine that runs the
// stream.
type rtdsState struct {
	gates     *rollout.Gates // in the last response, or else the gates that the proxy came with; nil: neither
	leases    lease.Leases
	heartbeat *time.Timer // when to renew layers
	// cameWithoutLayer says that the proxy came without a layer, and that this was not reported yet.
	cameWithoutLayer bool
	// The proxy's answers that were not reported yet:
	taken       bool   // it has taken a response
	ackedNumber uint64 // the number of the gates up to which it has answered; 0: nothing new
	refused     bool   // its last answer was a NACK
}

// flushLayer sends the proxy's runtime layers that it lacks, or that are to be renewed. They depend on no other
// resource, and no other resource waits for them.
func (st *stream) flushLayer() error {
	st.tellLayer() // report the previous layer's result before the next one is sent, even when gates change quickly
	g := st.server.rollouts.Current()
	if s := st.proxy.Subscription(xds.RuntimeType); s != nil && s.Wants(wire.RuntimeLayer) {
		g.Whole(st.node.ID) // it is made now, and not under the lock
	}
	st.mu.Lock()
	r := st.planLayer(g)
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

// planLayer decides which layers are sent now, and sets the heartbeat while any has keys. A refused layer is not renewed: the
// proxy drops it, and it is only tried again after its pause. The caller holds st.mu.
func (st *stream) planLayer(g *rollout.Gates) *message.Response {
	s := st.proxy.Subscription(xds.RuntimeType)
	if s == nil || s.Pending() {
		return nil // a heartbeat that is due by then is sent when the answer comes
	}
	rt, now := &st.runtime, st.server.options.Now()
	layers := st.layers(s, g)
	s.Retry(now)
	ttls := st.server.ttls(g, st.node.ID, layers)
	next := st.renew(s, ttls, now)
	s.SetTTLs(ttls)
	if r := st.proxy.Respond(xds.RuntimeType, layers, protocol.RemoveAll); r != nil {
		rt.gates = g
		rt.leases.Begin()
		for _, l := range r.Resources {
			rt.leases.Sent(l.Name, ttls[l.Name], now)
		}
		return r // its answer leads here again
	}
	// The proxy has these layers, or has refused them.
	if rt.gates == nil {
		rt.gates = g
		st.takes(s)
	}
	rt.ackedNumber, rt.refused = g.Number, s.RefusesAny()
	if next > 0 {
		rt.heartbeat.Reset(next)
	}
	return nil
}

// layers returns the layers that the proxy may ask for by their names. A proxy that names none gets the whole layer. The caller holds
// st.mu.
func (st *stream) layers(s *protocol.Subscription, g *rollout.Gates) *xds.List {
	node, parts := st.node.ID, g.Parts(st.node.ID)
	switch {
	case !s.Wants(wire.RuntimeLayer):
		return parts
	case s.Names() == 0:
		parts = nil
	}
	return parts.With(&st.server.pool, []*xds.Resource{g.Whole(node)}, nil)
}

// renew has the layers renewed that are due. It returns after what time to look again; 0 or less: there is no need to. The caller holds
// st.mu.
func (st *stream) renew(s *protocol.Subscription, ttls map[string]time.Duration, now time.Time) time.Duration {
	live := maps.Clone(ttls)
	maps.DeleteFunc(live, func(name string, _ time.Duration) bool { return !s.Wants(name) || s.Refuses(name) })
	renew, again, next := st.runtime.leases.Due(live, now)
	for _, name := range renew {
		s.Renew(name)
	}
	for _, name := range again {
		s.SendAgain(name)
	}
	return next
}

// joinLayer adds the stream to the rollouts, when its proxy first asks for its layers. The caller holds st.mu.
func (st *stream) joinLayer(resumed bool) {
	st.runtime.cameWithoutLayer = !resumed
	st.server.rollouts.Join(st.follower, st.node.ID)
}

// answered records the proxy's answer to a response with layers. The caller holds st.mu.
func (st *stream) answered(s *protocol.Subscription, a protocol.Answer) {
	rt := &st.runtime
	if a.Refused {
		rt.leases.Refused()
	} else {
		rt.leases.Taken()
		st.takes(s)
	}
	if a.Lapsed || !a.Refused && s.Lacks(st.layers(s, rt.gates)) {
		return // the rest comes with the next response
	}
	rt.ackedNumber, rt.refused = rt.gates.Number, a.Refused
}

// takes notes the layers that the proxy has as the last response would have them. The caller holds st.mu.
func (st *stream) takes(s *protocol.Subscription) {
	rt := &st.runtime
	var layers []string
	for _, l := range st.layers(s, rt.gates).All() {
		if had := s.Sent().Find(l.Name); had != nil && had.Version == l.Version && !s.Refuses(l.Name) {
			layers = append(layers, l.Name)
		}
	}
	rt.leases.Apply(layers, rt.gates.Gates())
	rt.taken = true
}

// starting is how long a proxy may run before it asks for its layers. It has no gates then, and calls that it serves right
// afterwards may seem to have begun before it asked.
const starting = time.Second

// tellLayer reports the proxy's answers to its layers. The caller holds no lock.
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
	if rt.taken {
		rt.taken = false
		for _, p := range rt.leases.Periods(o.Now()) {
			o.Applied(st.node.ID, p.Gates, p.From)
		}
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
