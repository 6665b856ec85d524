package policy

import (
	"fmt"
	"slices"
	"strings"
)

// Notes returns a line, with its place, for each setting that is right but may surprise, in order.
func (s *Set) Notes() []string {
	notes := slices.Clone(s.notes)
	for _, r := range s.Breakers() {
		b := r.Breaker
		if b.Fallback.Cached == nil || slices.Contains(b.Fallback.Cached.KeyHeaders, AllHeaders) {
			continue
		}
		same := "the same URL"
		if names := b.Fallback.Cached.KeyHeaders; len(names) > 0 {
			same += " and the same " + strings.Join(names, ", ")
		}
		notes = append(notes, fmt.Sprintf("%s: fallback.cached.keyHeaders: one copy answers all requests to %s that have %s, also of users whom another header names",
			b.origin(), b.Spec.Key, same))
	}
	slices.Sort(notes)
	return slices.Compact(notes)
}

// origin returns the place of the most specific policy of a breaker.
func (b *Breaker) origin() string {
	if len(b.Origins) == 0 {
		return b.Spec.Key.String()
	}
	return b.Origins[0].Place()
}
