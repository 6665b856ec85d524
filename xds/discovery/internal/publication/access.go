package publication

import (
	"slices"

	"breakwater.dev/policy"
	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery/internal/node"
)

// Calls are the upstreams that a proxy calls and may call. They are immutable.
type Calls struct {
	Names []string // nil: all
	// Reached are the upstreams of Names, and those that take over from them: a proxy that may make a call may have it
	// taken over. Nil where Names is nil.
	Reached []string
}

// same reports whether both are calls to the same upstreams.
func (c *Calls) same(other *Calls) bool {
	return (c.Names == nil) == (other.Names == nil) && slices.Equal(c.Names, other.Names) && slices.Equal(c.Reached, other.Reached)
}

// callsOf returns the calls of a proxy, by the callers that the upstreams name. The departing upstreams are those which every
// proxy calls that lists upstreams.
func callsOf(set *policy.Set, n *node.Node, departing []string) *Calls {
	var names []string
	if n.Upstreams == nil {
		var all bool
		if names, all = mayCall(set, n.Cluster); all {
			return &Calls{}
		}
	} else {
		names = make([]string, 0, len(n.Upstreams)+len(departing)) // not nil, which means all
		names = admitted(set, n.Cluster, append(append(names, n.Upstreams...), departing...))
	}
	return &Calls{Names: names, Reached: xds.Reached(set, names)}
}

// mayCall returns the upstreams that a workload may call, or reports that it may call all that there are.
func mayCall(set *policy.Set, workload string) (names []string, all bool) {
	admits := func(u *policy.Upstream) bool { return u.Admits(workload) }
	refused := slices.IndexFunc(set.Upstreams, func(u *policy.Upstream) bool { return !admits(u) })
	if refused < 0 {
		return nil, true
	}
	names = make([]string, 0, len(set.Upstreams))
	for _, u := range set.Upstreams {
		if admits(u) {
			names = append(names, u.Name)
		}
	}
	return names, false
}

// admitted returns the names of upstreams that admit a workload, among the given ones. Unknown names stay: their upstreams may
// come with a later policy.
func admitted(set *policy.Set, workload string, names []string) []string {
	refuses := func(name string) bool {
		u := xds.Find(set, name)
		return u != nil && !u.Admits(workload)
	}
	if !slices.ContainsFunc(names, refuses) {
		return names
	}
	return slices.DeleteFunc(slices.Clone(names), refuses)
}

// Calls returns the upstreams that the proxies of a workload call and may call, sorted. The proxies list the named upstreams.
// With all, one of them lists none, and calls every upstream that it may.
func (p *Publication) Calls(workload string, names []string, all bool) []string {
	names = slices.Clone(names)
	if all {
		for _, u := range p.set.Upstreams {
			names = append(names, u.Name)
		}
	}
	slices.Sort(names)
	return admitted(p.set, workload, slices.Compact(names))
}

// Denied returns the upstreams, sorted, that a proxy lists and the policy does not have, and those that the policy has
// and does not let the proxy's workload call.
func (p *Publication) Denied(n node.Node) (unknown, forbidden []string) {
	for _, name := range n.Upstreams {
		switch u := xds.Find(p.set, name); {
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
	for _, name := range xds.Reached(p.set, admitted(p.set, n.Cluster, n.Upstreams)) {
		gets[name] = true
	}
	return unknown, slices.DeleteFunc(forbidden, func(name string) bool { return gets[name] })
}
