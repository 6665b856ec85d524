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

// Table holds which breakers need a gate. Most need none: they are closed, and all that they do is logged.
type Table struct {
	tcp         map[breaker.Key]bool // every breaker of the policy, without a node; true: its calls are connections
	rates       map[breaker.Key]float64
	sampling    map[breaker.Key]wire.Sampling
	allocations map[breaker.Key]*allocation // of half-open breakers whose calls are connections
}

// Input is what gates are computed from.
type Input struct {
	Now breaker.Instant
	// Statuses are those of the breakers in [Table.Watched]. A breaker that is left out is no longer watched.
	Statuses []breaker.Status
	// Proxies are those that reach the upstream of a breaker for which [Table.NeedsProxies] is true, by the
	// name of the upstream.
	Proxies map[string][]Proxy
}

// NewTable returns a table of no breakers.
func NewTable() *Table {
	return &Table{
		tcp: map[breaker.Key]bool{}, rates: map[breaker.Key]float64{},
		sampling: map[breaker.Key]wire.Sampling{}, allocations: map[breaker.Key]*allocation{},
	}
}

// Apply takes on a policy. Breakers that it no longer has lose their gates. Breakers in the data path Inline have gates too,
// though no route looks for them: when a policy changes the data path, the routes of a proxy change at
// another time than its runtime layer, and an open breaker must stay open. Apply reports whether there are other breakers than
// before; then [Table.Adopt] has to see the status of all of them.
func (t *Table) Apply(set *policy.Set) (others bool) {
	old := t.tcp
	t.tcp = map[breaker.Key]bool{}
	for _, u := range set.Upstreams {
		for _, r := range u.Routes {
			if r.Breaker != nil {
				t.tcp[r.Breaker.Spec.Key] = u.Protocol == policy.TCP
			}
		}
	}
	maps.DeleteFunc(t.rates, func(key breaker.Key, _ float64) bool { return !t.has(key) })
	maps.DeleteFunc(t.sampling, func(key breaker.Key, _ wire.Sampling) bool { return !t.has(key) })
	return !maps.Equal(t.tcp, old)
}

// Adopt watches those breakers that need a gate although none of their transitions was heard, such as restored ones.
func (t *Table) Adopt(statuses []breaker.Status) {
	for i := range statuses {
		if s := &statuses[i]; needsGate(s) {
			t.Watch(s.Key, 0)
		}
	}
}

// has reports whether the policy has the breaker.
func (t *Table) has(key breaker.Key) bool {
	_, known := t.tcp[ofAllNodes(key)]
	return known
}

// ofAllNodes returns the key without its node.
func ofAllNodes(key breaker.Key) breaker.Key {
	key.Node = ""
	return key
}

// Watch says that a breaker has made a transition, and how many calls per second it had until then; 0 if that is not known. The
// rate at the first transition after closed is the one that counts. Watch reports whether the policy has the breaker, so that its gate may have
// changed.
func (t *Table) Watch(key breaker.Key, rate float64) bool {
	if !t.has(key) {
		return false
	}
	if _, known := t.rates[key]; !known {
		t.rates[key] = rate
	}
	return true
}

// Watched returns the keys of the breakers that may need a gate, in no order.
func (t *Table) Watched() []breaker.Key { return slices.Collect(maps.Keys(t.rates)) }

// NeedsProxies reports whether the gate of a breaker depends on what proxies report: it is half-open, and its calls are
// connections.
func (t *Table) NeedsProxies(s *breaker.Status) bool {
	return s.State == breaker.HalfOpen && t.tcp[ofAllNodes(s.Key)] && needsGate(s)
}

// SetSampling changes how densely the calls of a breaker are logged. It reports whether that is a change of the gates.
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

// Gates returns the gates, by key, and when time alone will change them, which may be never.
func (t *Table) Gates(in *Input) (gates []Gate, next breaker.Instant) {
	next = never
	rates := map[breaker.Key]float64{}
	for i := range in.Statuses {
		s := &in.Statuses[i]
		rate, watched := t.rates[s.Key]
		if !watched || !needsGate(s) {
			continue
		}
		rates[s.Key] = rate
		if t.tcp[ofAllNodes(s.Key)] {
			more, until := t.connections(s, in)
			gates, next = append(gates, more...), min(next, until)
			continue
		}
		gate, until := gateOf(s, rate, in.Now)
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

// connections returns the gates of a breaker whose calls are connections, and when time alone will change them.
func (t *Table) connections(s *breaker.Status, in *Input) ([]Gate, breaker.Instant) {
	if s.State != breaker.HalfOpen {
		delete(t.allocations, s.Key)
		if s.State != breaker.Open {
			return nil, never
		}
		none := uint32(0)
		return []Gate{{Key: s.Key, Connections: &none}}, never
	}
	a := t.allocations[s.Key]
	if a == nil {
		a = &allocation{}
		t.allocations[s.Key] = a
	}
	return a.update(s, in.proxies(s.Key), in.Now), in.Now.Add(allocationPeriod)
}

// proxies returns those that a breaker is about.
func (in *Input) proxies(key breaker.Key) []Proxy {
	all := in.Proxies[key.Upstream]
	if key.Node == "" {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(p Proxy) bool { return p.Node != key.Node })
}

// minUptime is how long a connection must stay up in half-open to count as a success.
const minUptime = time.Second

// Established returns, for each half-open breaker whose calls are connections, how many connections have stayed up, at
// most as many as are permitted. A client that has a pool makes as many connections as it needs and then no
// more: if connections that stay up did not count, its breaker would never hear of the successes that it waits for. Where new
// connections are wanted and cannot be made, a probe has failed before.
func (t *Table) Established(in *Input) map[breaker.Key]uint32 {
	up := map[breaker.Key]uint32{}
	for i := range in.Statuses {
		s := &in.Statuses[i]
		if _, watched := t.rates[s.Key]; !watched || s.State != breaker.HalfOpen || !t.tcp[ofAllNodes(s.Key)] || in.Now.Sub(s.Since) < minUptime {
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
