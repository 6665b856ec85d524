package breaker

import (
	"slices"
	"sync"
)

// maxKept bounds what is kept of breakers that were removed.
const maxKept = 1_000

// kept is what is remembered of breakers that were removed while they were open, half-open or held by a
// person: until that has ended, they may be added again.
type kept struct {
	mu  sync.Mutex
	all []Saved
}

// add keeps s in place of what is kept of the same breaker, and reports whether it was kept. What has ended at now, or does not
// fit, is not kept.
func (k *kept) add(s *Saved, now Instant) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all = slices.DeleteFunc(k.all, func(o Saved) bool { return o.Key == s.Key || o.Ends() <= now })
	if s.Ends() <= now || len(k.all) >= maxKept {
		return false
	}
	k.all = append(k.all, *s)
	return true
}

// list returns what is kept at now.
func (k *kept) list(now Instant) []Saved {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(k.all), func(s Saved) bool { return s.Ends() <= now })
}

// take returns what is kept of the breakers of an upstream's route, and keeps it no longer.
func (k *kept) take(upstream, route string, now Instant) []Saved {
	k.mu.Lock()
	defer k.mu.Unlock()
	var taken []Saved
	k.all = slices.DeleteFunc(k.all, func(s Saved) bool {
		of := s.Key.Upstream == upstream && s.Key.Route == route
		if of && s.Ends() > now {
			taken = append(taken, s)
		}
		return of
	})
	return taken
}

// keep remembers what is to be remembered of a group that is about to be removed.
func (e *Engine) keep(g *group, ch *Changes, now Instant) {
	var saved []Saved
	g.each(func(b *Breaker) { saved = b.appendSaved(saved, now) })
	for i := range saved {
		switch s := &saved[i]; {
		case e.kept.add(s, now):
			ch.Kept = append(ch.Kept, *s)
		case s.Ends() > now:
			ch.Forgotten = append(ch.Forgotten, s.Key)
		}
	}
}
