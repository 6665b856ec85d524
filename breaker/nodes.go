package breaker

import (
	"cmp"
	"sync"
	"time"
)

// group is the breaker of a key and, in a scope of nodes, those of its proxies. The
// first then serves calls of which nobody knows the proxy.
type group struct {
	Breaker
	nodes *nodes // nil where all proxies share the breaker
}

// nodes are breakers of proxies.
type nodes struct {
	mu       sync.RWMutex
	byNode   map[string]*Breaker
	list     []*Breaker // in the order in which they came
	spec     *terms
	departed Counts            // of breakers that are no more, so that sums never go back
	swept    Instant           // when idle breakers were last looked for
	seen     map[string]uint64 // their requests at that time
	owned    map[string]int    // how many each owner has
}

// Bounds on the breakers of one key: what a proxy says of itself is not trusted to
// be finite. A proxy beyond the most of them, of all owners or of its own, shares the breaker of the
// key. Where there is no room, idle breakers are looked for sooner.
const (
	maxNodes  = 10_000
	maxOwned  = maxNodes / 4
	idleTime  = Instant(10 * time.Minute)
	idleInUse = Instant(time.Minute)
)

func newGroup(s *Spec, t *terms, e *shared, now Instant) *group {
	g := &group{}
	g.Breaker.begin(s.Key, t, e, now)
	if s.PerNode {
		g.nodes = &nodes{byNode: map[string]*Breaker{}, seen: map[string]uint64{}, owned: map[string]int{}, spec: t, swept: now}
	}
	return g
}

// Node returns the breaker that a proxy has of key; one that is made now if need
// be. Where all proxies share a breaker, or node is empty, it is that one. nil:
// there is no such key.
func (e *Engine) Node(key Key, node string, now Instant) *Breaker {
	return e.NodeOf(key, node, "", now)
}

// NodeOf is [Engine.Node] for a proxy whose owner is known, such as the identity in its certificate. One owner has a
// quarter of the breakers that there may be of a key, at most; others have room whatever it calls its proxies.
func (e *Engine) NodeOf(key Key, node, owner string, now Instant) *Breaker {
	g := e.group(key)
	if g == nil {
		return nil
	}
	if b := g.known(node); b != nil {
		return b
	}
	defer e.shared.deliver()
	return g.of(node, owner, now)
}

// of is [Engine.NodeOf] of a group, for callers that have transitions delivered later.
func (g *group) of(node, owner string, now Instant) *Breaker {
	if g.nodes == nil || node == "" {
		return &g.Breaker
	}
	return g.meet(node, owner, now)
}

// known returns the breaker of a proxy that has one.
func (g *group) known(node string) *Breaker {
	if g.nodes == nil {
		return nil
	}
	g.nodes.mu.RLock()
	defer g.nodes.mu.RUnlock()
	return g.nodes.byNode[node]
}

// meet returns the breaker of a proxy that has none yet.
func (g *group) meet(node, owner string, now Instant) *Breaker {
	n := g.nodes
	n.mu.Lock()
	defer n.mu.Unlock()
	if b := n.byNode[node]; b != nil {
		return b
	}
	if since := now - n.swept; since >= idleTime || since >= idleInUse && n.full(owner) {
		n.sweep(now)
	}
	if n.full(owner) {
		return &g.Breaker
	}
	b := &Breaker{}
	key := g.key()
	key.Node = node
	b.begin(key, n.spec, g.engine, now)
	b.rest.owner = owner
	n.owned[owner]++
	if o := g.overridden(); o != nil && o.Until > now {
		b.force(*o, now)
	}
	n.byNode[node] = b
	n.list = append(n.list, b)
	return b
}

// full tells whether there is no room for one more breaker of a proxy of an owner; "" is not known.
func (n *nodes) full(owner string) bool {
	return len(n.list) >= maxNodes || owner != "" && n.owned[owner] >= maxOwned
}

// sweep drops the breakers that have done nothing since the last time, and have
// nothing to remember: their proxies are gone, or will not notice.
func (n *nodes) sweep(now Instant) {
	kept := n.list[:0]
	seen := make(map[string]uint64, len(n.list))
	for _, b := range n.list {
		s := b.peek(now)
		node := b.rest.node
		last, before := n.seen[node]
		idle := s.State == Closed && s.Override == nil && s.InFlight == 0 && s.Openings == 0
		if idle && before && last == s.Counts.Requests {
			delete(n.byNode, node)
			if owner := b.rest.owner; n.owned[owner] > 1 {
				n.owned[owner]--
			} else {
				delete(n.owned, owner)
			}
			b.retire()
			n.departed.sum(&s.Counts)
			continue
		}
		seen[node] = s.Counts.Requests
		kept = append(kept, b)
	}
	clear(n.list[len(kept):])
	n.list, n.seen, n.swept = kept, seen, now
}

// each does something with all breakers of the group.
func (g *group) each(do func(*Breaker)) {
	do(&g.Breaker)
	if g.nodes == nil {
		return
	}
	g.nodes.mu.RLock()
	defer g.nodes.mu.RUnlock()
	for _, b := range g.nodes.list {
		do(b)
	}
}

func (g *group) configure(t *terms, now Instant) (restarted bool) {
	if g.nodes != nil {
		g.nodes.mu.Lock()
		g.nodes.spec = t
		g.nodes.mu.Unlock()
	}
	g.each(func(b *Breaker) { restarted = b.configure(t, now) || restarted })
	return restarted
}

// replaced retires g, and returns the group that takes its place, in the hands of the person in whose hands g was.
func (g *group) replaced(by *group, now Instant) *group {
	o := g.overridden()
	g.retire()
	if o != nil && o.Until > now {
		by.force(*o, now)
	}
	return by
}

// appendForced appends the breakers of proxies that are in the hands of a person as the group is not.
func (g *group) appendForced(all []Key) []Key {
	of := g.overridden()
	g.each(func(b *Breaker) {
		if o := b.overridden(); o != nil && (of == nil || *o != *of) {
			all = append(all, b.key())
		}
	})
	return all
}

func (g *group) retire() { g.each((*Breaker).retire) }

// appendStatus appends what [Engine.AppendSnapshot] promises.
func (g *group) appendStatus(all []Status, now Instant) []Status {
	all = append(all, g.Status(now))
	if g.nodes == nil {
		return all
	}
	g.nodes.mu.RLock()
	defer g.nodes.mu.RUnlock()
	defer g.engine.deliver()
	at := len(all) - 1
	all[at].Counts.sum(&g.nodes.departed)
	for _, b := range g.nodes.list {
		s := b.peek(now)
		all[at].merge(&s)
		all = append(all, s)
	}
	return all
}

// merge adds the status of one proxy's breaker. The worst state is that of all.
func (s *Status) merge(o *Status) {
	s.Nodes++
	if o.State == Open {
		s.OpenNodes++
	}
	s.Episode = s.Episode.merge(s.State, o.Episode, o.State)
	if o.State > s.State {
		s.State, s.Since, s.RetryAfter, s.Generation = o.State, o.Since, o.RetryAfter, o.Generation
	}
	s.Admits = min(s.Admits, o.Admits)
	s.ProbesInFlight += o.ProbesInFlight
	s.InFlight += o.InFlight
	s.Openings = max(s.Openings, o.Openings)
	s.SuccessLag += o.SuccessLag
	s.IgnoredLag += o.IgnoredLag
	s.LastFailure = max(s.LastFailure, o.LastFailure)
	s.Window.Calls += o.Window.Calls
	s.Window.Failures += o.Window.Failures
	s.Window.Slow += o.Window.Slow
	s.Window.Run = max(s.Window.Run, o.Window.Run)
	s.Counts.sum(&o.Counts)
}

// merge returns what both together remember: the cause that came first of those that go on,
// else the last one, and the last trip.
func (e *Episode) merge(state State, o *Episode, other State) *Episode {
	if e == nil || o == nil {
		return cmp.Or(e, o)
	}
	m := *e
	switch x, y := e.Cause, o.Cause; {
	case y == nil:
	case x == nil || state == Closed && (other != Closed || y.At > x.At) || state != Closed && other != Closed && y.At < x.At:
		m.Cause = y
	}
	if m.Trip == nil || o.Trip != nil && o.Trip.At > m.Trip.At {
		m.Trip = o.Trip
	}
	return &m
}

func (c *Counts) sum(o *Counts) {
	c.Requests += o.Requests
	c.Rejected += o.Rejected
	c.WouldReject += o.WouldReject
	c.Successes += o.Successes
	c.Failures += o.Failures
	c.Timeouts += o.Timeouts
	c.Slow += o.Slow
	c.Ignored += o.Ignored
	c.LeasesExpired += o.LeasesExpired
}
