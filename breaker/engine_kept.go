package breaker

import (
	"slices"
	"sync"
)

// maxKept bounds how many removed breakers are remembered.
const maxKept = 1_000

// kept remembers breakers that were removed while they were open, half-open or held by an
// operator. Until that would have ended, they may be added again.
type kept struct {
	mu  sync.Mutex
	all []Saved
}

// add keeps s in place of what is kept of the same breaker, and reports whether it did.
// It does not keep what has ended at now, or what does not fit.
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

// take returns what is kept of the breakers of an upstream's route, and forgets it.
func (k *kept) take(upstream, route string, now Instant) []Saved {
	k.mu.Lock()
	defer k.mu.Unlock()
	var taken []Saved
	k.all = slices.DeleteFunc(k.all, func(s Saved) bool {
		found := s.Key.Upstream == upstream && s.Key.Route == route
		if found && s.Ends() > now {
			taken = append(taken, s)
		}
		return found
	})
	return taken
}

// keep remembers a group of breakers that is about to be removed.
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
