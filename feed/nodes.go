package feed

import (
	"cmp"
	"slices"
	"sync/atomic"

	"breakwater.dev/breaker"
	"breakwater.dev/feed/internal/links"
	"breakwater.dev/feed/internal/running"
	"breakwater.dev/feed/internal/sampling"
)

// nodes are the proxies that are remembered. A proxy chooses its id, so there is a bound on how many there are, and one on how many
// belong to one identity: the name in a certificate, or an address, behind which there may be many proxies. When there are too
// many, a new proxy takes the place of one that has no stream.
type nodes struct {
	byID  map[string]*node
	owned map[string]int // how many nodes each identity has
	// running is how many running calls all proxies have.
	running *atomic.Int64
}

// Bounds on the proxies that are remembered: on all of them, and for each identity. One control plane serves some thousands.
const (
	maxNodes = 20_000
	maxOwned = maxNodes / 4
)

func newNodes() nodes {
	return nodes{byID: map[string]*node{}, owned: map[string]int{}, running: new(atomic.Int64)}
}

// getOrAdd returns the proxy with an id, and adds it if it is new. The owner is its identity; empty: not known. The result is nil
// if there are too many proxies.
func (ns *nodes) getOrAdd(id, owner string, now breaker.Instant) *node {
	n := ns.byID[id]
	if n != nil && (n.owner != "" || owner == "") {
		return n
	}
	if owner != "" && ns.owned[owner] >= maxOwned && !ns.makeRoom(owner) {
		return nil
	}
	if n == nil {
		if len(ns.byID) >= maxNodes && !ns.makeRoom("") {
			return nil
		}
		n = &node{id: id, meters: map[breaker.Key]*sampling.Meter{}, links: map[string]*links.Links{}, running: running.New(ns.running), left: now}
		ns.byID[id] = n
	}
	if n.owner = owner; owner != "" {
		ns.owned[owner]++
	}
	return n
}

func (ns *nodes) remove(n *node) {
	delete(ns.byID, n.id)
	n.forgetRunning()
	if ns.owned[n.owner]--; ns.owned[n.owner] <= 0 {
		delete(ns.owned, n.owner)
	}
}

// makeRoom removes a quarter of the proxies that have no stream, beginning with the ones that left first, and reports whether
// there were any. It looks at the proxies of one owner, or, if that is empty, at all.
func (ns *nodes) makeRoom(owner string) bool {
	type candidate struct {
		node *node
		left breaker.Instant
	}
	var all []candidate
	for _, n := range ns.byID {
		if owner != "" && n.owner != owner {
			continue
		}
		if left, streams := n.presence(); streams == 0 {
			all = append(all, candidate{n, left})
		}
	}
	slices.SortFunc(all, func(x, y candidate) int { return cmp.Compare(x.left, y.left) })
	for _, c := range all[:(len(all)+3)/4] { // more than one at a time, since looking at all is slow
		ns.remove(c.node)
	}
	return len(all) > 0
}
