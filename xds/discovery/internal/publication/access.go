package publication

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"breakwater.dev/internal/lockorder"
	"breakwater.dev/policy"
	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery/internal/node"
)

// Access decides which upstreams of a set the proxies of each workload get, by the callers that the upstreams name. It treats
// all workloads that no upstream names alike, so the policy bounds its size.
type Access struct {
	set       *policy.Set // joined by departing upstreams
	upstreams map[string]*policy.Upstream
	departing []string        // names of upstreams that depart, which every proxy calls that lists upstreams
	named     map[string]bool // workloads that upstreams name as callers; empty: every workload may call every upstream

	mu lockorder.Mutex[lockorder.DiscoveryLeaf]
	// all has the upstreams that proxies call which list none, by workload. The empty workload stands for all workloads
	// that no upstream names.
	all map[string]Calls
}

// Calls are the upstreams that a proxy calls and may call.
type Calls struct {
	Names []string // nil: all
	// Reached are the upstreams of Names, and those that take over from them: a proxy that may make a call may have it
	// taken over. Nil where Names is nil.
	Reached []string
	sum     [sha256.Size]byte
}

// newAccess returns the access to a set that departing upstreams have joined.
func newAccess(set *policy.Set, departing []departure) *Access {
	a := &Access{set: set, upstreams: xds.ByName(set), named: map[string]bool{}, all: map[string]Calls{}}
	for _, d := range departing {
		a.departing = append(a.departing, d.upstream.Name)
	}
	for _, u := range set.Upstreams {
		for _, workload := range u.Callers {
			a.named[workload] = true
		}
	}
	return a
}

// calls returns the calls to the named upstreams. An empty list and nil (all) give different sums, and names are quoted, so
// that no node gets the view of others by a crafted name.
func (a *Access) calls(names []string) Calls {
	c := Calls{Names: names}
	if names != nil {
		c.Reached = xds.Reached(a.upstreams, names)
	}
	c.sum = sha256.Sum256(fmt.Appendf(nil, "%#v %#v", names, c.Reached))
	return c
}

// CallsOf returns the calls of a proxy: to the upstreams that it calls and may call.
func (a *Access) CallsOf(n node.Node) Calls {
	if n.Upstreams != nil {
		names := n.Upstreams
		if len(a.departing) > 0 {
			names = slices.Concat(names, a.departing)
		}
		return a.calls(admitted(a.upstreams, n.Cluster, names))
	}
	workload := n.Cluster
	if !a.named[workload] {
		workload = ""
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	c, known := a.all[workload]
	if !known {
		c = a.calls(a.mayCall(workload))
		a.all[workload] = c
	}
	return c
}

// mayCall returns all upstreams that a workload may call; nil: it may call all that there are.
func (a *Access) mayCall(workload string) []string {
	names := []string{}
	for _, u := range a.set.Upstreams {
		if u.Admits(workload) {
			names = append(names, u.Name)
		}
	}
	if len(names) == len(a.set.Upstreams) {
		return nil
	}
	return names
}

// admitted returns the names of upstreams that admit a workload, among the given ones. Unknown names stay: their upstreams may
// come with a later policy.
func admitted(upstreams map[string]*policy.Upstream, workload string, names []string) []string {
	refuses := func(name string) bool {
		u := upstreams[name]
		return u != nil && !u.Admits(workload)
	}
	if !slices.ContainsFunc(names, refuses) {
		return names
	}
	return slices.DeleteFunc(slices.Clone(names), refuses)
}

// View names the resources of a proxy that makes these calls and listens there. Proxies with the same view share them.
func (c Calls) View(listen netip.AddrPort) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %x", listen, c.sum))
	return string(sum[:])
}

// Gets reports whether a proxy with these calls gets an upstream, if there is one of that name.
func (c Calls) Gets(upstream string) bool {
	return c.Names == nil || slices.Contains(c.Reached, upstream)
}

// Same reports whether both are calls to the same upstreams.
func (c Calls) Same(other Calls) bool { return c.sum == other.sum }

// Calls returns the upstreams that the proxies of a workload call and may call, sorted. The proxies list the named upstreams.
// With all, one of them lists none, and calls every upstream that it may.
func (p *Publication) Calls(workload string, names map[string]bool, all bool) []string {
	if all {
		names = maps.Clone(names)
		for name := range p.upstreams {
			names[name] = true
		}
	}
	return admitted(p.upstreams, workload, slices.Sorted(maps.Keys(names)))
}

// Denied returns the upstreams, sorted, that a proxy lists and the policy does not have, and those that the policy has
// and does not let the proxy's workload call.
func (p *Publication) Denied(n node.Node) (unknown, forbidden []string) {
	for _, name := range n.Upstreams {
		switch u := p.upstreams[name]; {
		case u == nil:
			unknown = append(unknown, name)
		case !u.Admits(n.Cluster):
			forbidden = append(forbidden, name)
		}
	}
	if len(forbidden) == 0 {
		return unknown, nil
	}
	gets := map[string]bool{} // the proxy gets an upstream that takes over from one that it may call
	for _, name := range xds.Reached(p.upstreams, admitted(p.upstreams, n.Cluster, n.Upstreams)) {
		gets[name] = true
	}
	return unknown, slices.DeleteFunc(forbidden, func(name string) bool { return gets[name] })
}
