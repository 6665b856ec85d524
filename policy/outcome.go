package policy

import "slices"

// outcome is the result of compiling one upstream. It depends on the upstream's object and on layers, apart from the
// fallback upstreams, which depend on all upstreams.
type outcome struct {
	findings
	layers    []*layer  // the policies for the mesh, the upstream and each route; nil: none
	plain     *Upstream // without fallback upstreams
	applied   []*layer  // the policies that the upstream has something of
	fallbacks []fallbackRef

	links   []*FallbackUpstream // for each of fallbacks; nil: it cannot be
	settled *Upstream           // as the last set has it; nil: it is not in a set yet
}

// link sets the fallback upstreams.
func (out *outcome) link(links []*FallbackUpstream) {
	same := func(a, b *FallbackUpstream) bool { return a == b || a != nil && b != nil && *a == *b }
	if !slices.EqualFunc(links, out.links, same) {
		out.links, out.settled = links, nil
	}
}

// settle returns the upstream for a set that follows another set. It is the one of the set before if that is equal.
func (out *outcome) settle(before *Set) *Upstream {
	if out.settled != nil {
		return out.settled
	}
	u := out.linked() // it has been in no set yet
	u.own = identity{u, fingerprint(u)}
	if old := before.Upstream(u.Name); old != nil && old.Fingerprint() == u.Fingerprint() && old.hasOriginsOf(u) {
		u = old
	}
	out.settled = u
	return u
}

// linked returns the upstream with its fallback upstreams.
func (out *outcome) linked() *Upstream {
	u := out.plain
	for i, to := range out.links {
		if to == nil {
			continue
		}
		if u == out.plain {
			copied := *u
			copied.Routes = slices.Clone(u.Routes)
			u = &copied
		}
		without := out.fallbacks[i].breaker
		with := *without
		with.Fallback.Upstream = to
		for j := range u.Routes {
			if u.Routes[j].Breaker == without {
				u.Routes[j].Breaker = &with
			}
		}
	}
	return u
}
