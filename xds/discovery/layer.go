package discovery

import (
	"slices"
	"time"

	"breakwater.dev/gate"
	"breakwater.dev/wire"
	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery/internal/lease"
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
	applies   *gate.Mix   // what the proxy has taken
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
func (st *stream) planLayer(g *rollout.Gates) *protocol.Response {
	s := st.proxy.Subscription(xds.RuntimeType)
	if s == nil || s.Pending() {
		return nil // a heartbeat that is due by then is sent when the answer comes
	}
	rt, now := &st.runtime, st.server.options.Now()
	layers := st.layers(s, g)
	s.Retry(now)
	ttls := st.server.ttls(g, st.node.ID, layers)
	wait := st.renew(s, ttls, now)
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
	if wait > 0 {
		rt.heartbeat.Reset(wait)
	}
	return nil
}

// layers returns the layers that the proxy may ask for by their names. One that names none gets the whole layer. The caller holds
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

// renew has the layers with a time to live renewed that are due. If one is, those that are due soon come with it, so that one response
// renews all of them. It returns after what time the next is due; 0: none is left, or it is due now. The caller holds st.mu.
func (st *stream) renew(s *protocol.Subscription, ttls map[string]time.Duration, now time.Time) (next time.Duration) {
	leases, waits, due := &st.runtime.leases, map[string]time.Duration{}, false
	for name, ttl := range ttls {
		if !s.Wants(name) || s.Refuses(name) {
			continue
		}
		wait := leases.Wait(name, ttl, now)
		if len(waits) == 0 || wait < next {
			next = wait
		}
		waits[name], due = wait, due || wait <= 0
	}
	for name, wait := range waits {
		switch {
		case !due || wait > ttls[name]/lease.PerTTL/2:
		case leases.Lapses(name, now):
			s.SendAgain(name)
		default:
			s.Renew(name)
		}
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

// takes notes what the proxy applies after an answer: of each layer that it has as the last response would have it, the gates of
// these. Of the others it keeps what it had. The caller holds st.mu.
func (st *stream) takes(s *protocol.Subscription) {
	rt, now := &st.runtime, gate.Mix{}
	if rt.applies != nil {
		now = *rt.applies
	}
	for _, l := range st.layers(s, rt.gates).All() {
		if had := s.Sent().Find(l.Name); had == nil || had.Version != l.Version || s.Refuses(l.Name) {
			continue
		}
		part, ok := wire.ParseRuntimePart(l.Name)
		if ok {
			now[part] = rt.gates.Gates()
			continue
		}
		for part := range now {
			if s.Sent().Find(wire.RuntimePart(part)) == nil {
				now[part] = rt.gates.Gates()
			}
		}
	}
	if rt.taken = true; rt.applies == nil || *rt.applies != now {
		rt.applies = &now
	}
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
		st.tellApplied(o.Now())
	}
}

// tellApplied reports the gates that the proxy applies from now on, and when it drops them part by part.
func (st *stream) tellApplied(now time.Time) {
	rt, report := &st.runtime, st.server.options.Applied
	applies := rt.appliesAt(now)
	if *applies == (gate.Mix{}) {
		return // it answers so late that it has dropped them, which was reported, and is sent them again
	}
	report(st.node.ID, applies, now)
	ends := rt.ends(applies)
	for i, end := range ends {
		if i == len(ends)-1 {
			report(st.node.ID, nil, end)
			break
		}
		report(st.node.ID, rt.appliesAt(end), end)
	}
}

// until returns when the proxy drops a part of its layer unless it is renewed; zero: never.
func (rt *rtdsState) until(part int) time.Time {
	if until := rt.leases.Until(wire.RuntimePart(part)); !until.IsZero() {
		return until
	}
	return rt.leases.Until(wire.RuntimeLayer)
}

// appliesAt returns what the proxy applies at a time if nothing is renewed until then.
func (rt *rtdsState) appliesAt(now time.Time) *gate.Mix {
	left := *rt.applies
	for part := range left {
		if until := rt.until(part); !until.IsZero() && !now.Before(until) {
			left[part] = nil
		}
	}
	if left == *rt.applies {
		return rt.applies
	}
	return &left
}

// ends returns the times at which the proxy drops parts, in order, each once.
func (rt *rtdsState) ends(applies *gate.Mix) (ends []time.Time) {
	for part, set := range applies {
		if until := rt.until(part); set != nil && !until.IsZero() {
			ends = append(ends, until)
		}
	}
	slices.SortFunc(ends, time.Time.Compare)
	return slices.CompactFunc(ends, time.Time.Equal)
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
