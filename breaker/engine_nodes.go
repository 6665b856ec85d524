package breaker

import (
	"sync"
	"time"
)

// group is the breaker of a key and, where each proxy has a breaker, the breakers of its
// proxies. The first then serves the calls whose proxy is not known.
type group struct {
	Breaker
	nodes *nodes // nil where all proxies share the breaker
}

// nodes are the breakers of the proxies of one key.
type nodes struct {
	mu       sync.RWMutex
	byNode   map[string]*Breaker
	list     []*Breaker // in the order in which they came
	params   *params
	departed Counts            // the counts of breakers that were dropped, so that sums never fall
	swept    Instant           // when idle breakers were last looked for
	seen     map[string]uint64 // the requests of each at that time
	owned    map[string]int    // how many breakers each owner has
}

// Bounds on the breakers of one key, since a proxy may claim any number of names. A
// proxy beyond the bound, for all owners together or for its own, shares the breaker of
// the key. Where there is no room, idle breakers are looked for sooner.
const (
	maxNodes  = 10_000
	maxOwned  = maxNodes / 4
	idleTime  = Instant(10 * time.Minute)
	idleInUse = Instant(time.Minute)
)

func newGroup(s *Spec, p *params, e *shared, now Instant) *group {
	g := &group{}
	if s.PerNode {
		g.suffix = &suffix{spare: true}
	}
	g.Breaker.begin(s.Key, p, e, now)
	if s.PerNode {
		g.nodes = &nodes{byNode: map[string]*Breaker{}, seen: map[string]uint64{}, owned: map[string]int{}, params: p, swept: now}
	}
	return g
}

// Node returns the breaker that a proxy has for key, and makes it if there is none yet.
// Where all proxies share a breaker, or node is empty, it returns the shared one. It
// returns nil where there is no such key.
func (e *Engine) Node(key Key, node string, now Instant) *Breaker {
	return e.nodeOf(key, node, "", now)
}

// nodeOf is [Engine.Node] for a proxy whose owner is known, such as the identity in its
// certificate. One owner has at most a quarter of the breakers that a key can have, so
// that there is room for others whatever names it gives to its proxies.
func (e *Engine) nodeOf(key Key, node, owner string, now Instant) *Breaker {
	g := e.group(key)
	if g == nil {
		return nil
	}
	if b := g.known(node); b != nil {
		return b
	}
	defer e.shared.deliver()
	return g.ofNode(node, owner, now)
}

// ofNode is [Engine.nodeOf] in a group, for a caller that has transitions delivered later.
func (g *group) ofNode(node, owner string, now Instant) *Breaker {
	if g.nodes == nil || node == "" {
		return &g.Breaker
	}
	return g.meet(node, owner, now)
}

// known returns the breaker of a proxy, or nil if the proxy has none.
func (g *group) known(node string) *Breaker {
	if g.nodes == nil {
		return nil
	}
	g.nodes.mu.RLock()
	defer g.nodes.mu.RUnlock()
	return g.nodes.byNode[node]
}

// meet returns the breaker of a proxy, and makes it if there is room.
func (g *group) meet(node, owner string, now Instant) *Breaker {
	n := g.nodes
	n.mu.Lock()
	defer n.mu.Unlock()
	if b := n.byNode[node]; b != nil {
		return b
	}
	b := &Breaker{suffix: &suffix{owner: owner}}
	if !g.join(b, node, now) {
		return &g.Breaker
	}
	g.hold(b, now)
	return b
}

// meetAs has take go on from the state that the breaker of a proxy has elsewhere. If there is no such breaker
// here, it is made, without a transition. It reports whether there is room.
func (g *group) meetAs(node string, take func(*Breaker), now Instant) bool {
	n := g.nodes
	n.mu.Lock()
	defer n.mu.Unlock()
	if b := n.byNode[node]; b != nil {
		take(b)
		return true
	}
	b := &Breaker{suffix: &suffix{}, retired: true}
	if !g.join(b, node, now) {
		return false
	}
	b.retired = false
	take(b)
	g.hold(b, now)
	return true
}

// join makes b the breaker of a proxy, and reports whether there is room. The caller holds the lock of nodes.
func (g *group) join(b *Breaker, node string, now Instant) bool {
	n, owner := g.nodes, b.suffix.owner
	if since := now - n.swept; since >= idleTime || since >= idleInUse && n.full(owner) {
		n.sweep(now)
	}
	if n.full(owner) {
		return false
	}
	key := g.key()
	key.Node = node
	b.begin(key, n.params, g.engine, now)
	n.owned[owner]++
	n.byNode[node] = b
	n.list = append(n.list, b)
	return true
}

// hold forces on the breaker of a new proxy the state that an operator has forced on all breakers of the group.
func (g *group) hold(b *Breaker, now Instant) {
	o := g.overridden()
	if o == nil || o.Until <= now {
		return
	}
	if own := b.overridden(); own == nil || *own != *o {
		b.force(*o, now)
	}
}

// full reports whether there is no room for one more breaker of an owner; "" is an owner
// that is not known.
func (n *nodes) full(owner string) bool {
	return len(n.list) >= maxNodes || owner != "" && n.owned[owner] >= maxOwned
}

// sweep drops the breakers that have had no request since the last sweep and have
// nothing to remember. Their proxies are gone, or will not notice.
func (n *nodes) sweep(now Instant) {
	kept := n.list[:0]
	seen := make(map[string]uint64, len(n.list))
	for _, b := range n.list {
		s := b.peek(now)
		node := b.suffix.node
		last, before := n.seen[node]
		idle := s.State == Closed && s.Override == nil && s.InFlight == 0 && s.Openings == 0
		if idle && before && last == s.Counts.Requests {
			delete(n.byNode, node)
			if owner := b.suffix.owner; n.owned[owner] > 1 {
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

// each calls do for every breaker of the group.
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

func (g *group) configure(p *params, now Instant) (restarted bool) {
	if g.nodes != nil {
		g.nodes.mu.Lock()
		g.nodes.params = p
		g.nodes.mu.Unlock()
	}
	g.each(func(b *Breaker) { restarted = b.configure(p, now) || restarted })
	return restarted
}

// replaced retires g and returns the group that takes its place. An override of g holds
// there too.
func (g *group) replaced(by *group, now Instant) *group {
	o := g.overridden()
	g.retire()
	if o != nil && o.Until > now {
		by.force(*o, now)
	}
	return by
}

// appendForced appends the breakers of proxies that have an override which the group does
// not have.
func (g *group) appendForced(all []Key) []Key {
	own := g.overridden()
	g.each(func(b *Breaker) {
		if o := b.overridden(); o != nil && (own == nil || *o != *own) {
			all = append(all, b.key())
		}
	})
	return all
}

func (g *group) retire() { g.each((*Breaker).retire) }

// appendStatus appends what [Engine.AppendSnapshot] promises for one group.
func (g *group) appendStatus(all []Status, now Instant) []Status {
	all = append(all, g.Status(now))
	if g.nodes == nil {
		return all
	}
	defer g.engine.deliver() // after the lock is released: a listener may ask for the breaker of a proxy
	g.nodes.mu.RLock()
	defer g.nodes.mu.RUnlock()
	at := len(all) - 1
	all[at].Counts.sum(&g.nodes.departed)
	for _, b := range g.nodes.list {
		s := b.peek(now)
		all[at].merge(&s)
		all = append(all, s)
	}
	return all
}
