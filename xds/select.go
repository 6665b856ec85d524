package xds

import (
	"slices"

	"breakwater.dev/policy"
)

// Only returns set with no upstreams but the named ones. Names that the set does
// not know are passed over: they may come with a later policy.
func Only(set *policy.Set, names []string) *policy.Set {
	cut := *set
	cut.Upstreams = nil
	for _, u := range set.Upstreams {
		if slices.Contains(names, u.Name) {
			cut.Upstreams = append(cut.Upstreams, u)
		}
	}
	return &cut
}
