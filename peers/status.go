package peers

import (
	"cmp"
	"maps"
	"slices"
	"sync/atomic"

	"breakwater.dev/breaker"
)

// stats counts what the router has done.
type stats struct {
	forwarded, received, dropped, malformed atomic.Uint64 // outcomes
	asked, unanswered, withheld             atomic.Uint64 // permits
	takeovers                               atomic.Uint64
}

// Status implements [breaker.Decider].
func (r *Router) Status(key breaker.Key, now breaker.Instant) (s breaker.Status, known bool) {
	at := r.find(key)
	if at == nil {
		return r.o.Engine.Status(key, now)
	}
	r.mu.Lock()
	defer r.unlock()
	if key.Node != "" && !at.here() && r.mirrors[key] == nil {
		return breaker.Status{}, false
	}
	return r.status(key, now)
}

// status is Status for a caller that holds the lock. A proxy's breaker of which nothing is known is as the one that all
// proxies share.
func (r *Router) status(key breaker.Key, now breaker.Instant) (s breaker.Status, known bool) {
	if at := r.find(key); at != nil && at.here() {
		s, known = r.o.Engine.Status(key, now)
		r.dress(&s, now)
		return s, known
	}
	s, known = r.o.Engine.Status(shared(key), now)
	if !known {
		return s, false
	}
	s.Key = key
	r.reflect(&s, now)
	return s, true
}

// dress completes the status of a breaker that is here.
func (r *Router) dress(s *breaker.Status, now breaker.Instant) {
	if h := r.holdings[s.Key]; h != nil {
		c := h.base.plus(countsOfStatus(s))
		s.Counts, s.SuccessLag, s.IgnoredLag = c.Counts, c.successLag, c.ignoredLag
		if s.State == breaker.HalfOpen && h.fence > now {
			s.RetryAfter = max(s.RetryAfter, h.fence.Sub(now))
		}
		r.waitsForTurn(s, h.turn)
	}
	if s.State == breaker.HalfOpen && !r.owns(s.Key, now) {
		s.RetryAfter = max(s.RetryAfter, tickPeriod)
	}
}

// reflect makes s the status of a breaker that is elsewhere. s has the policy already.
func (r *Router) reflect(s *breaker.Status, now breaker.Instant) {
	*s = breaker.Status{Key: s.Key, Config: s.Config, Admits: breaker.Whole, Generation: 0}
	m := r.mirrors[s.Key]
	if m == nil {
		if all := r.mirrors[shared(s.Key)]; all != nil && s.Key.Node != "" && all.state.Saved.Override != nil {
			s.Override = all.state.Saved.Override
			s.State, s.Since = s.Override.State, all.state.Saved.Since
		} else if s.Config.Mode == breaker.ForcedOpen {
			s.State, s.Admits = breaker.Open, 0
		}
		return
	}
	of := m.state
	s.State, s.Openings, s.Generation, s.Sequence = of.Saved.State, of.Saved.Openings, of.Rank.Generation, of.Saved.Sequence
	s.Since, s.ProbesInFlight, s.InFlight, s.Window = of.Saved.Since, of.Probes, of.InFlight, of.Window
	s.Counts, s.SuccessLag, s.IgnoredLag, s.LastFailure = of.Counts, of.SuccessLag, of.IgnoredLag, of.LastFailure
	s.Override, s.Episode = of.Saved.Override, episode(&of.Saved)
	r.waitsForTurn(s, of.Turn)
	switch {
	case s.State != breaker.Closed:
		s.Admits = 0
		if s.State == breaker.Open && of.Saved.Until != 0 {
			s.RetryAfter = max(of.Saved.Until.Sub(now), 0)
		}
	case of.Ramping && s.Config.RampDuration > 0:
		s.Admits = breaker.RampShare(now.Sub(s.Since), s.Config.RampDuration)
	}
}

// episode returns the episode of a state.
func episode(s *breaker.Saved) *breaker.Episode {
	cause := s.Cause
	if cause == nil {
		cause = s.Trip
	}
	if cause == nil {
		return nil
	}
	return &breaker.Episode{Cause: cause, Trip: s.Trip}
}

// AppendSnapshot appends the status of every breaker, wherever it is; see [breaker.Engine.AppendSnapshot].
func (r *Router) AppendSnapshot(all []breaker.Status, now breaker.Instant) []breaker.Status {
	return r.snapshot(all, now, true)
}

// Snapshot is AppendSnapshot to a new list.
func (r *Router) Snapshot(now breaker.Instant) []breaker.Status { return r.AppendSnapshot(nil, now) }

// Local returns the breakers for metrics: their states are those of the mesh, and their totals are what this replica has counted
// as their owner. So the sum over all replicas has each call once, whoever owns a breaker at what time.
func (r *Router) Local() Snapshots { return Snapshots{r} }

// Snapshots are the breakers as metrics need them.
type Snapshots struct{ router *Router }

// AppendSnapshot appends the status of every breaker; see [Router.Local].
func (s Snapshots) AppendSnapshot(all []breaker.Status, now breaker.Instant) []breaker.Status {
	return s.router.snapshot(all, now, false)
}

func (r *Router) snapshot(all []breaker.Status, now breaker.Instant, totals bool) []breaker.Status {
	from := len(all)
	all = r.o.Engine.AppendSnapshot(all, now)
	r.mu.Lock()
	defer r.unlock()
	if r.anyPerNode() {
		all = append(all[:from], r.withNodes(all[from:], now, totals)...)
		return all
	}
	for i := from; i < len(all); i++ {
		r.present(&all[i], now, totals)
	}
	return all
}

// present makes the engine's status of one breaker the mesh's.
func (r *Router) present(s *breaker.Status, now breaker.Instant, totals bool) {
	at := r.find(s.Key)
	own := countsOfStatus(s)
	switch {
	case at == nil:
		return
	case at.here():
		r.dress(s, now)
	default:
		r.reflect(s, now)
	}
	if !totals {
		s.Counts, s.SuccessLag, s.IgnoredLag = own.Counts, own.successLag, own.ignoredLag
	}
}

// withNodes is present for a list in which some breakers belong to proxies: it adds those that only other replicas know,
// and sums up again.
func (r *Router) withNodes(own []breaker.Status, now breaker.Instant, totals bool) (all []breaker.Status) {
	elsewhere := map[breaker.Key][]breaker.Key{}
	for key := range r.mirrors {
		if key.Node != "" {
			elsewhere[shared(key)] = append(elsewhere[shared(key)], key)
		}
	}
	for i := 0; i < len(own); {
		sum := own[i]
		s := r.specOf(sum.Key)
		if i++; s == nil || !s.PerNode {
			r.present(&sum, now, totals)
			all = append(all, sum)
			continue
		}
		first := len(all)
		one, _ := r.o.Engine.Status(sum.Key, now) // of the calls whose proxy is not known
		r.present(&one, now, totals)
		all = append(all, one)
		for ; i < len(own) && own[i].Key.Node != "" && shared(own[i].Key) == sum.Key; i++ {
			if at := r.find(own[i].Key); at == nil || !at.here() && r.mirrors[own[i].Key] != nil {
				continue // it has moved, and follows below
			}
			node := own[i]
			r.present(&node, now, totals)
			all = append(all, node)
		}
		for _, key := range elsewhere[sum.Key] {
			if at := r.find(key); at != nil && at.here() {
				continue
			}
			node := breaker.Status{Key: key, Config: sum.Config}
			r.reflect(&node, now)
			if !totals {
				node.Counts = breaker.Counts{}
			}
			all = append(all, node)
		}
		for n := first + 1; n < len(all); n++ {
			all[first].Merge(&all[n])
		}
		if !totals { // proxies that have left are in the engine's sum
			all[first].Counts, all[first].SuccessLag, all[first].IgnoredLag = sum.Counts, sum.SuccessLag, sum.IgnoredLag
		}
	}
	return all
}

func compareKeys(x, y breaker.Key) int {
	return cmp.Or(cmp.Compare(x.Upstream, y.Upstream), cmp.Compare(x.Route, y.Route), cmp.Compare(x.Node, y.Node))
}

// breakers returns the keys of a map in order.
func breakers[V any](m map[breaker.Key]V) []breaker.Key {
	return slices.SortedFunc(maps.Keys(m), compareKeys)
}

// sortedKeys returns the ids of a map in order.
func sortedKeys[V any](m map[uint64]V) []uint64 { return slices.Sorted(maps.Keys(m)) }
