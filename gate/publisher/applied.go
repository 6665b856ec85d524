package publisher

import (
	"breakwater.dev/breaker"
	"breakwater.dev/gate"
	"breakwater.dev/internal/lockorder"
)

// applied holds the gates that are in force in each proxy. It is safe for concurrent use.
type applied struct {
	mu    lockorder.Mutex[lockorder.GateLeaf]
	nodes map[string]inForce
}

// inForce holds the gates that are in force in one proxy.
type inForce struct {
	gate.Applied
	until breaker.Instant // when the gates expire; 0: they have no time to live
}

// set records that a proxy applies gates from a time on. Nil gates with a time in the future set the end of the current
// gates; otherwise they mean that the proxy has connected without gates.
func (a *applied) set(node string, gates *gate.Set, from, now breaker.Instant) {
	a.mu.Lock()
	defer a.mu.Unlock()
	state := a.nodes[node]
	switch {
	case gates != nil:
		state = inForce{Applied: gate.Applied{Gates: gates, Acknowledged: from, Began: state.Began}}
	case from > now:
		state.until = from
	default:
		state = inForce{Applied: gate.Applied{Began: now}}
	}
	a.nodes[node] = state
}

// get returns the gates that are in force in a proxy.
func (a *applied) get(node string) gate.Applied {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.nodes[node].Applied
}

// disconnected returns the proxies that are not connected and whose gates are still in force.
func (a *applied) disconnected(connected map[string]bool, now breaker.Instant) (nodes []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for node, state := range a.nodes {
		if !connected[node] && state.until > now {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

// forget drops the proxies that were not connected soon after an instant, and whose gates are no longer in force. It keeps
// a proxy that has connected since.
func (a *applied) forget(connected map[string]bool, at breaker.Instant) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for node, state := range a.nodes {
		if !connected[node] && state.until <= at && max(state.Began, state.Acknowledged) < at {
			delete(a.nodes, node)
		}
	}
}
