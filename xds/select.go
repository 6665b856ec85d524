package xds

import (
	"strings"

	"slices"

	"breakwater.dev/policy"
)

// Find returns the upstream of a set that has a name; nil: there is none.
func Find(set *policy.Set, name string) *policy.Upstream {
	at, found := slices.BinarySearchFunc(set.Upstreams, name, func(u *policy.Upstream, name string) int { return strings.Compare(u.Name, name) })
	if !found {
		return nil
	}
	return set.Upstreams[at]
}

// Reached returns the names, and the names of the upstreams that take over from them, directly or not. Each name is there
// once. The result is never nil, which [Translation.For] takes for all upstreams.
func Reached(set *policy.Set, names []string) []string {
	all := make([]string, 0, len(names))
	known := map[string]bool{}
	for more := names; len(more) > 0; {
		var next []string
		for _, name := range more {
			if known[name] {
				continue
			}
			known[name] = true
			all = append(all, name)
			next = append(next, takeovers(Find(set, name))...)
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
