package policy

import (
	"iter"
	"slices"
	"strings"

	"breakwater.dev/breaker"
)

// Upstream returns the upstream with a name; nil: the set has none.
func (s *Set) Upstream(name string) *Upstream {
	i, found := slices.BinarySearchFunc(s.Upstreams, name, func(u *Upstream, name string) int { return strings.Compare(u.Name, name) })
	if !found {
		return nil
	}
	return s.Upstreams[i]
}

// Routes yields every route of every upstream, with its upstream: by name of the upstream, and then in
// order of matching.
func (s *Set) Routes() iter.Seq2[*Upstream, *Route] {
	return func(yield func(*Upstream, *Route) bool) {
		for _, u := range s.Upstreams {
			for i := range u.Routes {
				if !yield(u, &u.Routes[i]) {
					return
				}
			}
		}
	}
}

// Breakers yields every breaker once, as the first route that has it, with its upstream, in the order of
// [Set.Routes]. Other routes that share the breaker have the same timeouts. Upstreams share none.
func (s *Set) Breakers() iter.Seq2[*Upstream, *Route] {
	return func(yield func(*Upstream, *Route) bool) {
		for _, u := range s.Upstreams {
			for r := range u.Breakers() {
				if !yield(u, r) {
					return
				}
			}
		}
	}
}

// Breakers yields every breaker of the upstream once, as [Set.Breakers] does.
func (u *Upstream) Breakers() iter.Seq[*Route] {
	return func(yield func(*Route) bool) {
		var seen map[*Breaker]bool
		for i := range u.Routes {
			r := &u.Routes[i]
			if r.Breaker == nil || seen[r.Breaker] {
				continue
			}
			if len(u.Routes) > 1 {
				if seen == nil {
					seen = map[*Breaker]bool{}
				}
				seen[r.Breaker] = true
			}
			if !yield(r) {
				return
			}
		}
	}
}

// Specs returns the specification of every breaker, in the order of [Set.Breakers]. Callers do not
// change the slice: it is the same one for every caller.
func (s *Set) Specs() []breaker.Spec {
	if s.specs == nil { // made by hand
		return specs(s)
	}
	return s.specs
}

func specs(s *Set) []breaker.Spec {
	all := make([]breaker.Spec, 0, len(s.Upstreams)) // most upstreams have one
	for _, r := range s.Breakers() {
		all = append(all, r.Breaker.Spec)
	}
	return all
}
