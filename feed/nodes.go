package feed

import (
	"cmp"
	"slices"

	"breakwater.dev/breaker"
)

// nodes are the proxies that are remembered. Each may call itself what it likes, so there is a bound, and one on those of one identity:
// of a certificate's name, or of an address, behind which there may be many. Who has no stream gives way to who comes.
type nodes struct {
	byID  map[string]*node
	owned map[string]int // how many each identity has
}

// Bounds on the proxies that are remembered. One control plane serves some thousands of them.
const (
	maxNodes = 20_000
	maxOwned = maxNodes / 4
)

func newNodes() nodes { return nodes{byID: map[string]*node{}, owned: map[string]int{}} }

// meet returns what is known of a proxy of an identity; nil: there are too many. The identity is "" where it is not known.
func (ns *nodes) meet(id, owner string, now breaker.Instant) *node {
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
		n = &node{id: id, meters: map[breaker.Key]*meter{}, links: map[string]*Links{}, left: now}
		ns.byID[id] = n
	}
	if n.owner = owner; owner != "" {
		ns.owned[owner]++
	}
	return n
}

func (ns *nodes) forget(n *node) {
	delete(ns.byID, n.id)
	if ns.owned[n.owner]--; ns.owned[n.owner] <= 0 {
		delete(ns.owned, n.owner)
	}
}

// makeRoom forgets a part of the proxies that have no stream, those that left first, and tells whether there are any. They are
// those of an identity, or where it is "" all.
func (ns *nodes) makeRoom(owner string) bool {
	type gone struct {
		node *node
		left breaker.Instant
	}
	var all []gone
	for _, n := range ns.byID {
		if owner != "" && n.owner != owner {
			continue
		}
		if left, streams := n.presence(); streams == 0 {
			all = append(all, gone{n, left})
		}
	}
	slices.SortFunc(all, func(x, y gone) int { return cmp.Compare(x.left, y.left) })
	for _, g := range all[:(len(all)+3)/4] { // more than one, since looking at all takes a while
		ns.forget(g.node)
	}
	return len(all) > 0
}
