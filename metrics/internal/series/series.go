package series

import (
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"breakwater.dev/breaker"
)

// Table counts for each breaker of the policy, beyond the counts of the breaker itself. The zero value has no breakers.
type Table struct {
	byUpstream atomic.Pointer[upstreams]
}

// upstreams are the breakers by the name of their upstream, and then sorted by
// route: each call looks one up, and a key of several strings takes twice as
// long. Proxies make no series of their own, since the policy does not say how
// many proxies there are.
type upstreams map[string][]route

type route struct {
	name string
	*series
}

// find returns the series of a key; nil: there are none.
func (u upstreams) find(key *breaker.Key) *series {
	routes := u[key.Upstream]
	i, ok := slices.BinarySearchFunc(routes, key.Route, func(r route, name string) int { return strings.Compare(r.name, name) })
	if !ok {
		return nil
	}
	return routes[i].series
}

// series are one breaker's counts.
type series struct {
	calls  histogram     // by the service's time
	micros atomic.Uint64 // the sum of how long whole calls lasted
	// past is nil until the first transition: most breakers never have one, and few
	// have a fallback that makes one.
	past atomic.Pointer[past]
}

// past counts the transitions and the fallbacks.
type past struct {
	// rejects is nil where the fallback has only ever been a response.
	rejects     atomic.Pointer[credits]
	last        atomic.Pointer[breaker.Transition]
	opened      histogram
	transitions []atomic.Uint64 // by index in edges
}

// history returns the past, and begins one where there is none.
func (s *series) history() *past {
	if s.past.Load() == nil {
		s.past.CompareAndSwap(nil, &past{transitions: make([]atomic.Uint64, len(edges))})
	}
	return s.past.Load()
}

// credits returns the counts by fallback; nil: there has only ever been a response.
func (s *series) credits() *credits {
	if p := s.past.Load(); p != nil {
		return p.rejects.Load()
	}
	return nil
}

// edges are the changes of state that have a series.
var edges = breaker.Edges()

// Apply removes the breakers of the upstreams in gone, and adds those in specs. Breakers that
// were there before go on with their series, new ones start at 0, and removed ones lose theirs. fallbacks
// has every breaker of specs whose fallback is not a [Response]. Calls of Apply must not overlap.
func (t *Table) Apply(gone []string, specs []*breaker.Spec, fallbacks map[breaker.Key]Fallback) {
	old := t.all()
	next := maps.Clone(old)
	if next == nil {
		next = make(upstreams, len(specs))
	}
	for _, name := range gone {
		delete(next, name)
	}
	for _, spec := range specs {
		key := &spec.Key
		s := old.find(key)
		f := fallbacks[*key]
		begins := f // credited until the first look
		if s == nil {
			s = &series{}
		} else {
			begins = Response
		}
		if f != Response && s.credits() == nil {
			s.history().rejects.Store(&credits{last: begins})
		}
		if c := s.credits(); c != nil {
			c.turn(f)
		}
		next[key.Upstream] = append(next[key.Upstream], route{key.Route, s})
	}
	for _, spec := range specs {
		slices.SortFunc(next[spec.Key.Upstream], func(a, b route) int { return strings.Compare(a.name, b.name) })
	}
	t.byUpstream.Store(&next)
}

func (t *Table) all() upstreams {
	if u := t.byUpstream.Load(); u != nil {
		return *u
	}
	return nil
}

// ObserveTransition counts a transition, and of each stretch of [breaker.Open]
// that ends, how long it was. A breaker without series is not counted.
func (t *Table) ObserveTransition(tr breaker.Transition) {
	s := t.all().find(&tr.Key)
	if s == nil {
		return
	}
	p := s.history()
	if i := slices.Index(edges, tr.Edge); i >= 0 {
		p.transitions[i].Add(1)
	}
	if tr.Edge.From == breaker.Open {
		p.opened.observe(openScale, tr.At.Sub(tr.Since), 1)
	}
	p.last.Store(&tr)
}

// RememberTransition notes the last transition of a breaker, and does not count it.
func (t *Table) RememberTransition(tr breaker.Transition) {
	if s := t.all().find(&tr.Key); s != nil {
		s.history().last.Store(&tr)
	}
}

// ObserveCalls counts how much of the service's time n calls took, each of them d. It takes no lock and
// allocates nothing. A breaker without series is not counted.
func (t *Table) ObserveCalls(key breaker.Key, d time.Duration, n uint64) {
	if s := t.all().find(&key); s != nil {
		s.calls.observe(callScale, d, n)
	}
}

// ObserveWholeCalls adds how long n calls lasted from beginning to end, each of them d. It takes
// no lock and allocates nothing. A breaker without series is not counted.
func (t *Table) ObserveWholeCalls(key breaker.Key, d time.Duration, n uint64) {
	if s := t.all().find(&key); s != nil {
		s.micros.Add(uint64(max(d, 0)/time.Microsecond) * n)
	}
}

// ObserveAnswered counts n calls that were rejected where copies of responses are kept, by
// whether they were answered with a copy. A breaker that has never had such a fallback is not
// counted.
func (t *Table) ObserveAnswered(key breaker.Key, cached bool, n uint64) {
	s := t.all().find(&key)
	if s == nil {
		return
	}
	f := Response
	if cached {
		f = Cached
	}
	if c := s.credits(); c != nil {
		c.answered(f, n)
	}
}

// Last returns the last transition of a breaker, whichever proxy's it was; nil
// where there was none.
func (t *Table) Last(key breaker.Key) *breaker.Transition {
	s := t.all().find(&key)
	if s == nil {
		return nil
	}
	p := s.past.Load()
	if p == nil {
		return nil
	}
	return p.last.Load()
}
