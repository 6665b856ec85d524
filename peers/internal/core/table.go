package core

import (
	"slices"
	"sync"
	"sync/atomic"

	"breakwater.dev/breaker"
	"breakwater.dev/peers/internal/places"
	"breakwater.dev/peers/internal/sampling"
)

// table says where each breaker is. It is immutable, except that it remembers breakers of proxies.
type table struct {
	places *places.Map
	keys   map[breaker.Key]*Place // all breakers of the policy
	nodes  *sync.Map              // breaker.Key to *Place, for breakers of proxies
}

// Place is where a breaker is. As long as it stays there, the pointer is the same.
type Place struct {
	To      string // the replica that decides; "" means this one
	perNode bool   // each proxy has a breaker of its own
	// waits means that this replica decides soon, when it knows what the one before knew.
	waits atomic.Bool

	// For a breaker that is here:
	refused atomic.Int64 // when this replica's proxies last rejected calls
	sampled sampling.Own
}

// Here reports whether this replica's engine is the breaker. It is safe for concurrent use.
func (p *Place) Here() bool { return p.To == "" && !p.waits.Load() }

func newTable(m *places.Map, keys map[breaker.Key]*Place) *table {
	return &table{places: m, keys: keys, nodes: &sync.Map{}}
}

// Find returns where a breaker is; nil: the policy has no such breaker. It is safe for concurrent use.
func (c *Core) Find(key breaker.Key) *Place {
	t := c.table.Load()
	p := t.keys[Shared(key)]
	if p == nil || key.Node == "" || !p.perNode {
		return p
	}
	if of, known := t.nodes.Load(key); known {
		return of.(*Place)
	}
	of, _ := t.nodes.LoadOrStore(key, &Place{To: c.relative(t.places.Acting(key)), perNode: true}) // no replica has had it before
	return of.(*Place)
}

// Owner returns the member that owns a breaker; "" where there are no members.
func (c *Core) Owner(key breaker.Key) string { return c.table.Load().places.Owner(key) }

// ReachesOwner reports whether this replica knows what the owner of a breaker decides, perhaps by a replica in between.
func (c *Core) ReachesOwner(key breaker.Key) bool {
	owner, acting := c.Owner(key), c.table.Load().places.Acting(key)
	if owner == "" || acting == owner || acting == c.o.Self.ID {
		return owner != "" && acting == owner
	}
	p := c.Known(acting)
	return p != nil && slices.Contains(p.Hears, owner)
}

// Unreached returns how many members this replica does not reach.
func (c *Core) Unreached() int { return c.table.Load().places.Unreached() }

// Holds returns how many breakers are here.
func (c *Core) Holds() int { return len(c.holds) }

// relative returns "" for this replica.
func (c *Core) relative(id string) string {
	if id == c.o.Self.ID {
		return ""
	}
	return id
}

// replace looks where all breakers are now, and moves those that were elsewhere.
func (c *Core) replace(now breaker.Instant) {
	c.holdNodes(now)
	old := c.table.Load()
	m := places.New(c.roster.Reach())
	next := newTable(m, make(map[breaker.Key]*Place, len(c.specs)))
	var moves []move
	settle := func(key breaker.Key, was *Place, perNode bool) *Place {
		to := c.relative(m.Acting(key))
		if was != nil && was.To == to && was.perNode == perNode {
			return was
		}
		is := &Place{To: to, perNode: perNode}
		is.waits.Store(to == "")
		moves = append(moves, move{key, was, is})
		return is
	}
	for key, s := range c.specs {
		next.keys[key] = settle(key, old.keys[key], s.PerNode)
	}
	for _, key := range c.nodeKeys(now) {
		was, _ := old.nodes.Load(key)
		before, _ := was.(*Place)
		next.nodes.Store(key, settle(key, before, true))
	}
	slices.SortFunc(moves, func(x, y move) int { return compareKeys(x.key, y.key) }) // the same each time
	c.table.Store(next)                                                              // before the moves, so that outcomes go to the new place from now on
	c.move(moves, now)
}

// nodeKeys returns the breakers of proxies that this replica knows of.
func (c *Core) nodeKeys(now breaker.Instant) (keys []breaker.Key) {
	known := map[breaker.Key]bool{}
	for key := range c.mirrors {
		known[key] = key.Node != ""
	}
	for key := range c.pending {
		known[key] = key.Node != ""
	}
	if c.AnyPerNode() {
		for _, s := range c.o.Engine.Snapshot(now) {
			known[s.Key] = s.Key.Node != ""
		}
	}
	for key, ofNode := range known {
		if s := c.SpecOf(key); ofNode && s != nil && s.PerNode {
			keys = append(keys, key)
		}
	}
	return keys
}

func (c *Core) AnyPerNode() bool {
	for _, s := range c.specs {
		if s.PerNode {
			return true
		}
	}
	return false
}
