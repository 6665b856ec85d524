package gate

import (
	"breakwater.dev/breaker"
	"breakwater.dev/wire"
)

// Set holds the gates of all breakers at one time, and the filter of the proxies' access logs. It is immutable. A nil set
// has no gates and the default filter.
type Set struct {
	gates    []Gate
	filter   LogFilter
	sampling map[breaker.Key]wire.Sampling
	limits   map[breaker.Key]*uint32 // Gate.Connections; nil where a proxy's own gate has none
	brief    map[string]uint32       // by node, the parts of the layer with a brief gate; "" means all proxies
}

// NewSet returns a set of gates. The slice must not be changed afterwards. The keys must differ.
func NewSet(gates []Gate, filter LogFilter) *Set {
	s := &Set{
		gates: gates, filter: filter,
		sampling: map[breaker.Key]wire.Sampling{}, limits: map[breaker.Key]*uint32{}, brief: map[string]uint32{},
	}
	for i := range gates {
		g := &gates[i]
		if g.Connections != nil || g.Key.Node != "" {
			s.limits[g.Key] = g.Connections
		}
		if g.brief() {
			s.brief[g.Key.Node] |= 1 << wire.RuntimePartOf(g.Key)
		}
		if !g.Sampling.Complete() {
			s.sampling[g.Key] = g.Sampling.All()
		}
	}
	return s
}

// Gates returns the gates, which must not be changed.
func (s *Set) Gates() []Gate {
	if s == nil {
		return nil
	}
	return s.gates
}

// Filter returns the filter of the proxies' access logs.
func (s *Set) Filter() LogFilter {
	if s == nil {
		return LogFilter{}
	}
	return s.filter
}

// Brief returns the parts of a proxy's runtime layer that have a gate of a breaker that is half-open or in its ramp: bit n is for
// part n. Such a gate is right for a short time only, and needs a short time to live.
func (s *Set) Brief(node string) uint32 {
	if s == nil {
		return 0
	}
	return s.brief[""] | s.brief[node]
}

// Sampling returns how densely proxies log the calls of a breaker.
func (s *Set) Sampling(key breaker.Key) wire.Sampling {
	if s == nil {
		return wire.Sampling{}.All()
	}
	return s.sampling[key].All()
}

// Connections returns how many connections a proxy may have to an upstream that speaks TCP, which the key names. If gated
// is false, the policy's limit is in force.
func (s *Set) Connections(key breaker.Key, node string) (limit uint32, gated bool) {
	if s == nil {
		return 0, false
	}
	key.Node = node
	l, own := s.limits[key]
	if !own {
		l = s.limits[ofAllNodes(key)]
	}
	if l == nil {
		return 0, false
	}
	return *l, true
}
