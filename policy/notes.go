package policy

import (
	"fmt"
	"slices"
	"strings"
)

// Notes returns a line, with its place, for each setting that is right but may surprise, in order. Callers do not change
// the slice: it is the same one for every caller.
func (s *Set) Notes() []string { return s.notes }

// noteCopies notes that one copy of a response may answer several users.
func (fs *findings) noteCopies(b *Breaker) {
	if b.Fallback.Cached == nil || slices.Contains(b.Fallback.Cached.KeyHeaders, AllHeaders) {
		return
	}
	same := "the same URL"
	if names := b.Fallback.Cached.KeyHeaders; len(names) > 0 {
		same += " and the same " + strings.Join(names, ", ")
	}
	fs.notes = append(fs.notes, fmt.Sprintf("%s: fallback.cached.keyHeaders: one copy answers all requests to %s that have %s, also of users whom another header names",
		b.Origins[0].Place(), b.Spec.Key, same))
}
