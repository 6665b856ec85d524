package gate

import (
	"breakwater.dev/breaker"
	"breakwater.dev/wire"
)

// Mix is the gates that one proxy applies: by part of its runtime layer, the set whose gates it has there. A part without a set has
// no gates. A mix is immutable. A nil mix has no gates.
type Mix [wire.RuntimeParts]*Set

// Uniform returns the mix that has all gates of one set.
func Uniform(s *Set) *Mix {
	m := new(Mix)
	for i := range m {
		m[i] = s
	}
	return m
}

// Has reports whether the proxy applies the gates of any set in the part to which a breaker belongs.
func (m *Mix) Has(key breaker.Key) bool { return m.of(key) != nil }

// Sampling returns how densely the proxy logs the calls of a breaker, whose key has no node.
func (m *Mix) Sampling(key breaker.Key) wire.Sampling { return m.of(key).Sampling(key) }

// Connections returns how many connections the proxy, which has the given id, may have to an upstream that speaks TCP, which the key
// names. If gated is false, the policy's limit is in force.
func (m *Mix) Connections(key breaker.Key, node string) (limit uint32, gated bool) {
	return m.of(key).Connections(key, node)
}

func (m *Mix) of(key breaker.Key) *Set {
	if m == nil {
		return nil
	}
	return m[wire.RuntimePartOf(key)]
}
