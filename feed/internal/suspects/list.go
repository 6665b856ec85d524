package suspects

import (
	"maps"
	"sync/atomic"

	"breakwater.dev/breaker"
)

// List is the suspects. The zero value has none. One goroutine at a time may call Add and Remove.
type List struct {
	all atomic.Pointer[map[breaker.Key]*Suspect] // the map is never changed; a new one replaces it
}

// All returns the suspects by the keys of their breakers. The map must not be changed.
func (l *List) All() map[breaker.Key]*Suspect {
	if all := l.all.Load(); all != nil {
		return *all
	}
	return nil
}

// Keys returns the keys of the suspects without their nodes: proxies log all calls of these.
func (l *List) Keys() map[breaker.Key]bool {
	keys := map[breaker.Key]bool{}
	for key := range l.All() {
		key.Node = ""
		keys[key] = true
	}
	return keys
}

// Add adds a suspect, of a breaker that is not in the list.
func (l *List) Add(x *Suspect) {
	all := maps.Clone(l.All())
	if all == nil {
		all = map[breaker.Key]*Suspect{}
	}
	all[x.subject.Key] = x
	l.all.Store(&all)
}

// Remove removes the suspects whose alert is over, or all of them, and returns those that it removed.
func (l *List) Remove(now breaker.Instant, everyone bool) (removed []*Suspect) {
	all := maps.Clone(l.All())
	for key, x := range all {
		if everyone || x.isOver(now) {
			removed = append(removed, x)
			delete(all, key)
		}
	}
	if len(removed) > 0 {
		l.all.Store(&all)
	}
	return removed
}
