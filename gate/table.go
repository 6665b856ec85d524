package gate

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/policy"
	"breakwater.dev/wire"
)

// Table holds the breakers that may need a gate. Most breakers need none: they are closed, and all their calls are logged.
type Table struct {
	set         *policy.Set             // nil: none was applied
	kinds       map[breaker.Key]kind    // every breaker of the policy, without a node
	rates       map[breaker.Key]float64 // watched breakers, with their calls per second before the trip; 0: not known; or unseen
	sampling    map[breaker.Key]wire.Sampling
	allocations map[breaker.Key]*allocation // for half-open breakers whose calls are connections
}

// unseen is the rate of a breaker whose trip the table has not seen. The rate at its next transition will do.
const unseen = -1

// kind says which breakers there are for a key, and what their calls are.
type kind struct {
	tcp     bool // its calls are connections
	perNode bool // each proxy has a breaker of its own
}

// Input is the input from which gates are computed.
type Input struct {
	Now breaker.Instant
	// Statuses has the breakers in [Table.Watched]. A breaker that is left out is no longer watched.
	Statuses []breaker.Status
	// Proxies has the proxies that call an upstream, by the upstream's name. It is needed for upstreams with a
	// breaker for which [Table.NeedsProxies] is true.
	Proxies map[string][]Proxy
}

// NewTable returns a table without breakers.
func NewTable() *Table {
	return &Table{
		kinds: map[breaker.Key]kind{}, rates: map[breaker.Key]float64{},
		sampling: map[breaker.Key]wire.Sampling{}, allocations: map[breaker.Key]*allocation{},
	}
}

// Apply replaces the policy. Breakers that it no longer has lose their gates. Apply reports whether the set of breakers
// has changed; if so, the caller must pass the status of all breakers to [Table.Adopt].
//
// Breakers in the data path Inline have gates too, though no route uses them. When a policy changes the data path, the
// routes of a proxy change at another time than its runtime layer, and an open breaker must stay open meanwhile.
func (t *Table) Apply(set *policy.Set) (changed bool) {
	change := set.Since(t.set)
	t.set = set
	old, next := kindsOf(change.Gone), kindsOf(change.New)
	for key := range old {
		delete(t.kinds, key)
	}
	maps.Copy(t.kinds, next)
	if maps.Equal(old, next) {
		return false
	}
	maps.DeleteFunc(t.rates, func(key breaker.Key, _ float64) bool { return !t.has(key) })
	maps.DeleteFunc(t.sampling, func(key breaker.Key, _ wire.Sampling) bool { return !t.has(key) })
	return true
}

func kindsOf(upstreams []*policy.Upstream) map[breaker.Key]kind {
	all := map[breaker.Key]kind{}
	for _, u := range upstreams {
		for r := range u.Breakers() {
			all[r.Breaker.Spec.Key] = kind{tcp: u.Protocol == policy.TCP, perNode: r.Breaker.Spec.PerNode}
		}
	}
	return all
}

// Adopt watches the breakers that need a gate although the table got none of their transitions, such as restored ones.
func (t *Table) Adopt(statuses []breaker.Status) {
	all := t.rejecting(statuses)
	for i := range statuses {
		if s := &statuses[i]; t.needsGate(s) || all[ofAllNodes(s.Key)] {
			t.Watch(s.Key, unseen)
		}
	}
}

// needsGate reports whether a breaker rejects or limits calls of proxies. Where each proxy has a breaker, the one for all
// proxies does so only if an operator or the policy has opened it. Its other states come from the calls of proxies that have
// no breaker of their own, and a gate of it would reject the calls of those that have one.
func (t *Table) needsGate(s *breaker.Status) bool {
	if t.kinds[s.Key].perNode && !s.Forced() {
		return false
	}
	return needsGate(s)
}

// rejecting returns the breakers for all proxies that have a gate although each proxy has a breaker of its own.
func (t *Table) rejecting(statuses []breaker.Status) map[breaker.Key]bool {
	all := map[breaker.Key]bool{}
	for i := range statuses {
		if s := &statuses[i]; t.kinds[s.Key].perNode && t.needsGate(s) {
			all[s.Key] = true
		}
	}
	return all
}

// has reports whether the policy has the breaker.
func (t *Table) has(key breaker.Key) bool {
	_, known := t.kinds[ofAllNodes(key)]
	return known
}

// ofAllNodes returns the key without its node.
func ofAllNodes(key breaker.Key) breaker.Key {
	key.Node = ""
	return key
}

// Watch records that a breaker has made a transition. rate is how many calls per second it had until then; 0: not known.
// The rate before the trip counts, and later ones do not, unless the trip was not seen. Watch reports whether the policy
// has the breaker, so that its gate may have changed.
func (t *Table) Watch(key breaker.Key, rate float64) bool {
	if !t.has(key) {
		return false
	}
	if known, watched := t.rates[key]; !watched || known == unseen {
		t.rates[key] = rate
	}
	return true
}

// Watched returns the keys of the breakers that may need a gate, in no order.
func (t *Table) Watched() []breaker.Key { return slices.Collect(maps.Keys(t.rates)) }

// WatchesConnections reports whether [Table.Established] may return any breaker.
func (t *Table) WatchesConnections() bool {
	for key := range t.rates {
		if t.isTCP(key) {
			return true
		}
	}
	return false
}

// NeedsProxies reports whether the gate of a breaker depends on the reports of proxies, because it is half-open and its
// calls are connections.
func (t *Table) NeedsProxies(s *breaker.Status) bool {
	return s.State == breaker.HalfOpen && t.isTCP(s.Key) && t.needsGate(s)
}

// isTCP reports whether the calls of a breaker are connections.
func (t *Table) isTCP(key breaker.Key) bool { return t.kinds[ofAllNodes(key)].tcp }

// SetSampling sets how densely the calls of a breaker are logged. It reports whether that changes the gates.
func (t *Table) SetSampling(key breaker.Key, s wire.Sampling) bool {
	s = s.All()
	old, had := t.sampling[key]
	if !t.has(key) || old == s || s.Complete() && !had {
		return false
	}
	if s.Complete() {
		delete(t.sampling, key)
	} else {
		t.sampling[key] = s
	}
	return true
}

// LogAll makes the sampling of a breaker exact until [Table.SetSampling] says otherwise. It reports whether that changes the
// gates.
func (t *Table) LogAll(key breaker.Key) bool {
	s, sampled := t.sampling[key]
	if !sampled || s.Exact {
		return false
	}
	s.Exact = true
	t.sampling[key] = s
	return true
}

// Gates returns the gates, sorted by key, and the time until which they are valid without a transition, which may be
// never. Where a breaker for all proxies is forced open, a proxy whose own breaker is closed has a gate that lets its calls
// through.
func (t *Table) Gates(in *Input) (gates []Gate, next breaker.Instant) {
	next = never
	all := t.rejecting(in.Statuses)
	rates := map[breaker.Key]float64{}
	for i := range in.Statuses {
		s := &in.Statuses[i]
		rate, watched := t.rates[s.Key]
		passes := !t.needsGate(s)
		if !watched || passes && !all[ofAllNodes(s.Key)] {
			continue
		}
		rates[s.Key] = rate
		if !passes && t.isTCP(s.Key) {
			more, until := t.connections(s, in)
			gates, next = append(gates, more...), min(next, until)
			continue
		}
		gate, until := Gate{Key: s.Key}, never
		if !passes {
			gate, until = gateOf(s, rate, in.Now)
		}
		gate.Sampling = t.sampling[ofAllNodes(s.Key)]
		gates, next = append(gates, gate), min(next, until)
	}
	t.rates = rates
	maps.DeleteFunc(t.allocations, func(key breaker.Key, _ *allocation) bool { _, watched := rates[key]; return !watched })
	for key, s := range t.sampling {
		if _, watched := rates[key]; !watched {
			gates = append(gates, Gate{Key: key, Sampling: s})
		}
	}
	slices.SortFunc(gates, func(x, y Gate) int { return compare(x.Key, y.Key) })
	return gates, next
}

// connections returns the gates of a breaker whose calls are connections, and the time until which they are valid without
// a transition.
func (t *Table) connections(s *breaker.Status, in *Input) ([]Gate, breaker.Instant) {
	if s.State != breaker.HalfOpen || s.RetryAfter > 0 {
		delete(t.allocations, s.Key)
		if s.State == breaker.Closed {
			return nil, never
		}
		until := never // the end of open is a transition
		if s.State == breaker.HalfOpen {
			until = probesFrom(s, in.Now)
		}
		return []Gate{{Key: s.Key, Connections: new(uint32)}}, until
	}
	a := t.allocations[s.Key]
	if a == nil {
		a = &allocation{}
		t.allocations[s.Key] = a
	}
	return a.update(s, in.proxies(s.Key), in.Now), in.Now.Add(allocationPeriod)
}

// proxies returns the proxies that a breaker is for: all of its upstream's, or only its node.
func (in *Input) proxies(key breaker.Key) []Proxy {
	all := in.Proxies[key.Upstream]
	if key.Node == "" {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(p Proxy) bool { return p.Node != key.Node })
}

// minUptime is how long a connection must stay up in half-open to count as a success.
const minUptime = time.Second

// Established returns, for each half-open breaker whose calls are connections, how many connections have stayed up, but
// not more than there are permits. They count as successes, because a client with a pool of connections makes no new ones
// once it has enough, so that its breaker would never get the successes that it needs to close. If a connection cannot be
// made, a probe has failed, and the breaker is no longer half-open.
func (t *Table) Established(in *Input) map[breaker.Key]uint32 {
	up := map[breaker.Key]uint32{}
	for i := range in.Statuses {
		s := &in.Statuses[i]
		if _, watched := t.rates[s.Key]; !watched || s.State != breaker.HalfOpen || !t.isTCP(s.Key) || in.Now.Sub(probesFrom(s, in.Now)) < minUptime {
			continue
		}
		live := uint32(0)
		for _, p := range in.proxies(s.Key) {
			if !p.Left && !p.Barred {
				live += p.Connections
			}
		}
		if n := min(live, s.Config.PermittedNumberOfCallsInHalfOpenState); n > 0 {
			up[s.Key] = n
		}
	}
	return up
}

func compare(x, y breaker.Key) int {
	return cmp.Or(cmp.Compare(x.Upstream, y.Upstream), cmp.Compare(x.Route, y.Route), cmp.Compare(x.Node, y.Node))
}
