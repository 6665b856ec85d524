package peers

import (
	"slices"
	"sync"
	"sync/atomic"

	"breakwater.dev/breaker"
	"breakwater.dev/peers/internal/places"
)

// table says where each breaker is. It is immutable, except that it remembers breakers of proxies.
type table struct {
	places *places.Map
	keys   map[breaker.Key]*place // all breakers of the policy
	nodes  *sync.Map              // of breaker.Key and *place, for breakers of proxies
}

// place is where a breaker is. As long as it stays there, the pointer is the same.
type place struct {
	to      string // the replica that decides; "" means this one
	perNode bool   // each proxy has a breaker of its own
	// waits means that this replica decides soon, when it knows what the one before knew.
	waits atomic.Bool

	// For a breaker that is here:
	refused    atomic.Int64  // when this replica's proxies last rejected calls
	oneIn      atomic.Uint32 // how densely they log
	sampledAt  atomic.Int64  // when that was seen
	floor      atomic.Uint32 // how densely the proxies of other replicas log; see reportHere
	floorUntil atomic.Int64
}

// here reports whether this replica's engine is the breaker.
func (p *place) here() bool { return p.to == "" && !p.waits.Load() }

func newTable(m *places.Map, keys map[breaker.Key]*place) *table {
	return &table{places: m, keys: keys, nodes: &sync.Map{}}
}

// find returns where a breaker is; nil: the policy has no such breaker.
func (r *Router) find(key breaker.Key) *place {
	t := r.table.Load()
	p := t.keys[shared(key)]
	if p == nil || key.Node == "" {
		return p
	}
	if !p.perNode {
		return p
	}
	if of, known := t.nodes.Load(key); known {
		return of.(*place)
	}
	of, _ := t.nodes.LoadOrStore(key, &place{to: r.relative(t.places.Acting(key)), perNode: true}) // nobody has had it before
	return of.(*place)
}

// relative returns "" for this replica.
func (r *Router) relative(id string) string {
	if id == r.o.Self.ID {
		return ""
	}
	return id
}

// replace looks where all breakers are now, and moves those that were elsewhere.
func (r *Router) replace(now breaker.Instant) {
	r.holdNodes(now)
	old := r.table.Load()
	m := places.New(r.roster.Reach())
	next := newTable(m, make(map[breaker.Key]*place, len(r.specs)))
	var moves []move
	settle := func(key breaker.Key, was *place, perNode bool) *place {
		to := r.relative(m.Acting(key))
		if was != nil && was.to == to && was.perNode == perNode {
			return was
		}
		is := &place{to: to, perNode: perNode}
		is.waits.Store(to == "")
		moves = append(moves, move{key, was, is})
		return is
	}
	for key, s := range r.specs {
		next.keys[key] = settle(key, old.keys[key], s.PerNode)
	}
	for _, key := range r.nodeKeys(now) {
		was, _ := old.nodes.Load(key)
		before, _ := was.(*place)
		next.nodes.Store(key, settle(key, before, true))
	}
	slices.SortFunc(moves, func(x, y move) int { return compareKeys(x.key, y.key) }) // the same each time
	r.table.Store(next)                                                              // before the moves, so that outcomes go to the new place from now on
	r.move(moves, now)
}

// nodeKeys returns the breakers of proxies that this replica knows of.
func (r *Router) nodeKeys(now breaker.Instant) (keys []breaker.Key) {
	known := map[breaker.Key]bool{}
	for key := range r.mirrors {
		known[key] = key.Node != ""
	}
	for key := range r.pending {
		known[key] = key.Node != ""
	}
	if r.anyPerNode() {
		for _, s := range r.o.Engine.Snapshot(now) {
			known[s.Key] = s.Key.Node != ""
		}
	}
	for key, ofNode := range known {
		if s := r.specOf(key); ofNode && s != nil && s.PerNode {
			keys = append(keys, key)
		}
	}
	return keys
}

func (r *Router) anyPerNode() bool {
	for _, s := range r.specs {
		if s.PerNode {
			return true
		}
	}
	return false
}
