package xds

import "breakwater.dev/policy"

// Only returns set with the named upstreams only, and the upstreams that take over from them. Names that the set does not
// have are ignored: they may come with a later policy.
func Only(set *policy.Set, names []string) *policy.Set {
	wanted := map[string]bool{}
	for _, name := range Reached(ByName(set), names) {
		wanted[name] = true
	}
	cut := &policy.Set{Revision: set.Revision, Policies: set.Policies}
	for _, u := range set.Upstreams {
		if wanted[u.Name] {
			cut.Upstreams = append(cut.Upstreams, u)
		}
	}
	return cut
}

// ByName returns the upstreams of a set by their names.
func ByName(set *policy.Set) map[string]*policy.Upstream {
	upstreams := make(map[string]*policy.Upstream, len(set.Upstreams))
	for _, u := range set.Upstreams {
		upstreams[u.Name] = u
	}
	return upstreams
}

// Reached returns the names, and the names of the upstreams that take over from them, directly or not. Each name is there
// once.
func Reached(upstreams map[string]*policy.Upstream, names []string) []string {
	var all []string
	known := map[string]bool{}
	for more := names; len(more) > 0; {
		var next []string
		for _, name := range more {
			if known[name] {
				continue
			}
			known[name] = true
			all = append(all, name)
			next = append(next, takeovers(upstreams[name])...)
		}
		more = next
	}
	return all
}

// takeovers returns the names of the upstreams that take over from an upstream, which may be nil.
func takeovers(u *policy.Upstream) []string {
	if u == nil {
		return nil
	}
	var names []string
	for i := range u.Routes {
		if b := u.Routes[i].Breaker; b != nil && b.Fallback.Upstream != nil {
			names = append(names, b.Fallback.Upstream.Name)
		}
	}
	return names
}
