package xds

import "breakwater.dev/policy"

// Only returns set with no upstreams but the named ones, and those that take over from them.
// Names that the set does not know are passed over: they may come with a later policy.
func Only(set *policy.Set, names []string) *policy.Set {
	wanted := map[string]bool{}
	for more := names; len(more) > 0; {
		var next []string
		for _, name := range more {
			if wanted[name] {
				continue
			}
			wanted[name] = true
			next = append(next, takeovers(set, name)...)
		}
		more = next
	}
	cut := *set
	cut.Upstreams = nil
	for _, u := range set.Upstreams {
		if wanted[u.Name] {
			cut.Upstreams = append(cut.Upstreams, u)
		}
	}
	return &cut
}

// takeovers are the upstreams that take over from one.
func takeovers(set *policy.Set, name string) []string {
	var names []string
	for _, u := range set.Upstreams {
		if u.Name != name {
			continue
		}
		for i := range u.Routes {
			if b := u.Routes[i].Breaker; b != nil && b.Fallback.Upstream != nil {
				names = append(names, b.Fallback.Upstream.Name)
			}
		}
	}
	return names
}
