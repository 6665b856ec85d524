package breaker

import (
	"hash/maphash"
	"math/bits"
)

// table finds breakers by name; it is never changed. It is a hash table with open
// addressing, at most half full. A map would hold every name a second time.
type table struct {
	list  []*group // in the order of the specs
	slots []*group // a power of two of them
	seed  maphash.Seed
}

func newTable(list []*group) *table {
	t := &table{list: list, slots: make([]*group, 1<<bits.Len(uint(2*len(list)))), seed: maphash.MakeSeed()}
	for _, g := range list {
		key := g.key()
		i := t.hash(key.Upstream, key.Route)
		for t.slots[i&uint64(len(t.slots)-1)] != nil {
			i++
		}
		t.slots[i&uint64(len(t.slots)-1)] = g
	}
	return t
}

func (t *table) hash(upstream, route string) uint64 {
	h := maphash.String(t.seed, upstream)
	if route != "" {
		h = h*31 + maphash.String(t.seed, route)
	}
	return h
}

// near is how many breakers findFrom looks at before it looks the name up.
const near = 4

// findFrom is find for a caller that looks for one breaker after another, mostly in the order of the list. Most are found
// without a hash: at from, or soon after. after is where the next one may be.
func (t *table) findFrom(from int, upstream, route string) (g *group, after int) {
	for i := from; i < min(from+near, len(t.list)); i++ {
		if t.list[i].named(upstream, route) {
			return t.list[i], i + 1
		}
	}
	return t.find(upstream, route), from
}

// find returns nil where there is no such breaker.
func (t *table) find(upstream, route string) *group {
	slots := t.slots
	for i := t.hash(upstream, route); ; i++ {
		g := slots[i&uint64(len(slots)-1)]
		if g == nil || g.named(upstream, route) {
			return g
		}
	}
}
