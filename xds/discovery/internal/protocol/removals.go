package protocol

import (
	"time"

	"breakwater.dev/xds"
)

// Removals select the resources that a response may remove from a proxy, among the ones that no longer exist. The zero value
// selects none.
type Removals struct {
	all         bool
	unusedSince time.Time // selects resources that have been unused since then or for longer; zero: none
}

// RemoveAll selects every resource that no longer exists.
var RemoveAll = Removals{all: true}

// RemoveUnused selects resources that [Subscription.MarkUnused] found unused at a time or earlier, and at each call since.
func RemoveUnused(since time.Time) Removals { return Removals{unusedSince: since} }

// removes reports whether a resource that no longer exists may be removed.
func (s *Subscription) removes(r Removals, name string) bool {
	since, unused := s.unused[name]
	return r.all || unused && !since.After(r.unusedSince)
}

// MarkUnused notes that nothing refers to the resources that the proxy has, except to the given ones. It returns after what
// time the next of them has been unused for keep; 0: nothing waits.
func (s *Subscription) MarkUnused(resources *xds.List, now time.Time, keep time.Duration) (next time.Duration) {
	var unused map[string]time.Time
	for _, r := range s.wanted(resources).Since(s.has).Gone {
		since, known := s.unused[r.Name]
		if !known {
			since = now
		}
		if unused == nil {
			unused = map[string]time.Time{}
		}
		unused[r.Name] = since
		if wait := keep - now.Sub(since); wait > 0 && (next == 0 || wait < next) {
			next = wait
		}
	}
	s.unused = unused
	return next
}

// MarkUsed notes that something may refer to the resources again.
func (s *Subscription) MarkUsed(resources *xds.List) {
	for name := range s.unused {
		if resources.Find(name) != nil {
			delete(s.unused, name)
		}
	}
}
