package publisher

import (
	"breakwater.dev/breaker"
	"breakwater.dev/gate"
	"breakwater.dev/internal/lockorder"
)

// applied is which gates are in force in proxies. It is safe for concurrent use.
type applied struct {
	mu    lockorder.Mutex[lockorder.GateLeaf]
	nodes map[string]inForce
}

// inForce is what one proxy applies.
type inForce struct {
	gate.Applied
	until breaker.Instant // when the gates fall away; 0: they have no time to live
}

// set takes in that a proxy applies gates from a time on; nil: none any more.
func (a *applied) set(node string, gates *gate.Set, from, now breaker.Instant) {
	a.mu.Lock()
	defer a.mu.Unlock()
	is := a.nodes[node]
	switch {
	case gates != nil:
		is = inForce{Applied: gate.Applied{Gates: gates, Told: from, Began: is.Began}}
	case from > now:
		is.until = from
	default:
		is = inForce{Applied: gate.Applied{Began: now}}
	}
	a.nodes[node] = is
}

// of returns what a proxy applies now.
func (a *applied) of(node string) gate.Applied {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.nodes[node].Applied
}

// left returns the proxies that are not connected and whose gates are still in force.
func (a *applied) left(connected map[string]bool, now breaker.Instant) (nodes []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for node, is := range a.nodes {
		if !connected[node] && is.until > now {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

// forget drops the proxies that are not connected and whose gates are no longer in force.
func (a *applied) forget(connected map[string]bool, now breaker.Instant) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for node, is := range a.nodes {
		if !connected[node] && is.until <= now {
			delete(a.nodes, node)
		}
	}
}
