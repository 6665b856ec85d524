package gates

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/policy"
	"breakwater.dev/xds"
)

// Board knows which breakers have a gate. Most have none: they are closed, and
// everything they do is logged.
type Board struct {
	engine   *breaker.Engine
	terms    map[breaker.Key]terms
	standing map[breaker.Key]float64 // calls per second before the breaker tripped
	samples  map[breaker.Key]Sample
	deals    map[breaker.Key]*deal // of breakers in half-open whose calls are connections
}

// terms are what the policy says of a breaker, whose key has no node.
type terms struct {
	connections bool // its calls are connections
}

// Sample is how much of a breaker's calls is logged: one of OneIn that go through,
// and one of RejectsOneIn that are rejected. 0 and 1: all.
type Sample struct{ OneIn, RejectsOneIn uint32 }

// NewBoard returns a board of an engine's breakers, without gates.
func NewBoard(engine *breaker.Engine) *Board {
	return &Board{
		engine: engine, terms: map[breaker.Key]terms{},
		standing: map[breaker.Key]float64{}, samples: map[breaker.Key]Sample{}, deals: map[breaker.Key]*deal{},
	}
}

// Apply takes on a policy, which the engine has already. Breakers that it does not have any
// more have no gate. Those in the data path Inline have theirs, though no route looks for it:
// when the policy changes to Adaptive, or from it, the routes of a proxy change at
// another time than its runtime layer, and an open breaker is to stay open.
func (b *Board) Apply(set *policy.Set, now breaker.Instant) {
	old := b.terms
	b.terms = map[breaker.Key]terms{}
	for _, u := range set.Upstreams {
		for _, r := range u.Routes {
			if r.Breaker != nil {
				b.terms[r.Breaker.Spec.Key] = terms{connections: u.Protocol == policy.TCP}
			}
		}
	}
	gone := func(key breaker.Key) bool { return !b.knows(key) }
	maps.DeleteFunc(b.standing, func(key breaker.Key, _ float64) bool { return gone(key) })
	maps.DeleteFunc(b.samples, func(key breaker.Key, _ Sample) bool { return gone(key) })
	if len(b.terms) == len(old) && maps.Equal(b.terms, old) {
		return
	}
	for _, s := range b.engine.Snapshot(now) {
		if _, known := b.standing[s.Key]; !known && stands(&s) {
			b.Changed(s.Key, 0)
		}
	}
}

func (b *Board) knows(key breaker.Key) bool {
	_, known := b.terms[shared(key)]
	return known
}

// shared is the key without its node.
func shared(key breaker.Key) breaker.Key {
	key.Node = ""
	return key
}

// Changed says that a breaker has made a transition, and how many calls per second it
// had until then; 0: not known. What counts is the first time after it was closed.
// It tells whether the gates may have changed.
func (b *Board) Changed(key breaker.Key, traffic float64) bool {
	if !b.knows(key) {
		return false
	}
	if _, known := b.standing[key]; !known {
		b.standing[key] = traffic
	}
	return true
}

// Sample has so much logged of a breaker's calls from now on. It tells whether the
// gates have changed.
func (b *Board) Sample(key breaker.Key, s Sample) bool {
	s.OneIn, s.RejectsOneIn = max(s.OneIn, 1), max(s.RejectsOneIn, 1)
	old, had := b.samples[key]
	all := s == Sample{1, 1}
	if !b.knows(key) || old == s || all && !had {
		return false
	}
	if all {
		delete(b.samples, key)
	} else {
		b.samples[key] = s
	}
	return true
}

// Gates are the gates at now, by key, and when they will next change by time alone,
// which may be never. Proxies tells which ones reach an upstream whose calls are
// connections.
func (b *Board) Gates(now breaker.Instant, proxies func(upstream string) []Proxy) ([]xds.Gate, breaker.Instant) {
	var gates []xds.Gate
	next := never
	for key, traffic := range b.standing {
		handle := b.engine.Breaker(key)
		if handle == nil {
			delete(b.standing, key)
			continue
		}
		s := handle.Status(now)
		if !stands(&s) {
			delete(b.standing, key)
			continue
		}
		if b.terms[shared(key)].connections {
			more, until := b.connections(&s, proxies, now)
			gates, next = append(gates, more...), min(next, until)
			continue
		}
		gate, until := gateOf(&s, traffic, now)
		sample := b.samples[shared(key)]
		gate.OneIn, gate.RejectsOneIn = sample.OneIn, sample.RejectsOneIn
		gates, next = append(gates, gate), min(next, until)
	}
	maps.DeleteFunc(b.deals, func(key breaker.Key, _ *deal) bool { _, stands := b.standing[key]; return !stands })
	for key, s := range b.samples {
		if _, standing := b.standing[key]; !standing {
			gates = append(gates, xds.Gate{Key: key, OneIn: s.OneIn, RejectsOneIn: s.RejectsOneIn})
		}
	}
	slices.SortFunc(gates, func(x, y xds.Gate) int { return compare(x.Key, y.Key) })
	return gates, next
}

// connections are the gates of a breaker whose calls are connections, and when they change by time.
func (b *Board) connections(s *breaker.Status, proxies func(upstream string) []Proxy, now breaker.Instant) ([]xds.Gate, breaker.Instant) {
	if s.State != breaker.HalfOpen {
		delete(b.deals, s.Key)
		if s.State != breaker.Open {
			return nil, never
		}
		none := uint32(0)
		return []xds.Gate{{Key: s.Key, Connections: &none}}, never
	}
	d := b.deals[s.Key]
	if d == nil {
		d = &deal{}
		b.deals[s.Key] = d
	}
	all := proxies(s.Key.Upstream)
	if s.Key.Node != "" {
		all = slices.DeleteFunc(all, func(p Proxy) bool { return p.Node != s.Key.Node })
	}
	return d.turn(s, all, now), now.Add(dealPeriod)
}

// hold is how long connections have to hold to say so.
const hold = time.Second

// Holding are the breakers in half-open whose calls are connections, with how many of those
// hold, at most as many as are permitted. A client that has a pool makes as many connections as it
// needs, and then no more: without counting that they hold, its breaker would never hear of the
// successes that it waits for. Where new ones cannot be made and somebody wants one, a probe
// has failed before.
func (b *Board) Holding(now breaker.Instant, proxies func(upstream string) []Proxy) map[breaker.Key]uint32 {
	holding := map[breaker.Key]uint32{}
	for key := range b.standing {
		handle := b.engine.Breaker(key)
		if handle == nil || !b.terms[shared(key)].connections {
			continue
		}
		s := handle.Status(now)
		if s.State != breaker.HalfOpen || now.Sub(s.Since) < hold {
			continue
		}
		live := uint32(0)
		for _, p := range proxies(key.Upstream) {
			if !p.Left && !p.Barred && (key.Node == "" || key.Node == p.Node) {
				live += p.Connections
			}
		}
		if n := min(live, s.Config.PermittedNumberOfCallsInHalfOpenState); n > 0 {
			holding[key] = n
		}
	}
	return holding
}

func compare(x, y breaker.Key) int {
	return cmp.Or(cmp.Compare(x.Upstream, y.Upstream), cmp.Compare(x.Route, y.Route), cmp.Compare(x.Node, y.Node))
}
