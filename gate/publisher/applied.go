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
	drops []drop // in order of time; none: they have no time to live
}

// drop is a time at which the proxy drops gates unless they are renewed.
type drop struct {
	at    breaker.Instant
	gates *gate.Mix // that are in force from then on; nil: none
}

// set records that a proxy applies gates from a time on. At a time in the future it drops its other gates. Nil gates from now on mean
// that the proxy has connected without gates.
func (a *applied) set(node string, gates *gate.Mix, from, now breaker.Instant) {
	a.mu.Lock()
	defer a.mu.Unlock()
	state := a.nodes[node]
	switch {
	case from > now:
		for len(state.drops) > 0 && state.drops[len(state.drops)-1].at >= from {
			state.drops = state.drops[:len(state.drops)-1]
		}
		state.drops = append(state.drops, drop{from, gates})
	case gates != nil:
		state = inForce{Applied: gate.Applied{Gates: gates, Acknowledged: from, Began: state.Began}, drops: state.drops[:0]}
	default:
		state = inForce{Applied: gate.Applied{Began: now}}
	}
	a.nodes[node] = state
}

// get returns the gates that are in force in a proxy.
func (a *applied) get(node string, now breaker.Instant) gate.Applied {
	a.mu.Lock()
	defer a.mu.Unlock()
	state := a.nodes[node]
	for _, d := range state.drops {
		if d.at <= now {
			state.Gates = d.gates
		}
	}
	return state.Applied
}

// until returns when the last gates expire; 0: they have no time to live.
func (f *inForce) until() breaker.Instant {
	if len(f.drops) == 0 {
		return 0
	}
	return f.drops[len(f.drops)-1].at
}

// disconnected returns the proxies that are not connected and some of whose gates are still in force.
func (a *applied) disconnected(connected map[string]bool, now breaker.Instant) (nodes []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for node, state := range a.nodes {
		if !connected[node] && state.until() > now {
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
		if !connected[node] && state.until() <= at && max(state.Began, state.Acknowledged) < at {
			delete(a.nodes, node)
		}
	}
}
