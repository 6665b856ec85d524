package peers

import (
	"breakwater.dev/breaker"
	"breakwater.dev/peers/internal/core"
)

// Status implements [breaker.Decider].
func (r *Router) Status(key breaker.Key, now breaker.Instant) (s breaker.Status, known bool) {
	at := r.core.Find(key)
	if at == nil {
		return r.o.Engine.Status(key, now)
	}
	r.mu.Lock()
	defer r.unlock()
	if key.Node != "" && !at.Here() && r.core.Mirror(key) == nil {
		return breaker.Status{}, false
	}
	return r.status(key, now)
}

// status returns the status of a breaker as it is in the whole mesh. A proxy's breaker of which nothing is known is as the one that all
// proxies share.
func (r *Router) status(key breaker.Key, now breaker.Instant) (s breaker.Status, known bool) {
	if at := r.core.Find(key); at != nil && at.Here() {
		s, known = r.o.Engine.Status(key, now)
		r.core.Dress(&s, now)
		return s, known
	}
	s, known = r.o.Engine.Status(core.Shared(key), now)
	if !known {
		return s, false
	}
	s.Key = key
	r.reflect(&s, now)
	return s, true
}

// reflect makes s the status of a breaker that is elsewhere. s has the policy already.
func (r *Router) reflect(s *breaker.Status, now breaker.Instant) {
	*s = breaker.Status{Key: s.Key, Config: s.Config, Admits: breaker.Whole, Generation: 0}
	m := r.core.Mirror(s.Key)
	if m == nil {
		if all := r.core.Mirror(core.Shared(s.Key)); all != nil && s.Key.Node != "" && all.State.Saved.Override != nil {
			s.Override = all.State.Saved.Override
			s.State, s.Since = s.Override.State, all.State.Saved.Since
		} else if s.Config.Mode == breaker.ForcedOpen {
			s.State, s.Admits = breaker.Open, 0
		}
		return
	}
	of := m.State
	s.State, s.Openings, s.Generation, s.Sequence = of.Saved.State, of.Saved.Openings, of.Rank.Generation, of.Saved.Sequence
	s.Since, s.ProbesInFlight, s.InFlight, s.Window = of.Saved.Since, of.Probes, of.InFlight, of.Window
	s.Counts, s.SuccessLag, s.IgnoredLag, s.LastFailure = of.Counts, of.SuccessLag, of.IgnoredLag, of.LastFailure
	s.Override, s.Episode = of.Saved.Override, episode(&of.Saved)
	r.core.WaitsForTurn(s, of.Turn)
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

// admits reports whether a closed breaker that is elsewhere admits one more call: in the ramp it admits a share of them.
func (r *Router) admits(key breaker.Key, s *breaker.Status) bool {
	m := r.core.Mirror(key)
	if m == nil || s.Admits >= breaker.Whole {
		return true
	}
	m.Credit += s.Admits
	if m.Credit < breaker.Whole {
		return false
	}
	m.Credit -= breaker.Whole
	return true
}

// AppendSnapshot appends the status of every breaker, wherever it is; see [breaker.Engine.AppendSnapshot].
func (r *Router) AppendSnapshot(all []breaker.Status, now breaker.Instant) []breaker.Status {
	return r.snapshot(all, now, true)
}

// Snapshot is AppendSnapshot to a new list.
func (r *Router) Snapshot(now breaker.Instant) []breaker.Status { return r.AppendSnapshot(nil, now) }

// Local returns the breakers for metrics: their states are the states in the mesh, and their totals are the counts of
// this replica as their owner. So the sum over all replicas has each call once, also when owners change.
func (r *Router) Local() Snapshots { return Snapshots{r} }

// Snapshots are the breakers as metrics need them.
type Snapshots struct{ router *Router }

// AppendSnapshot appends the status of every breaker; see [Router.Local].
func (s Snapshots) AppendSnapshot(all []breaker.Status, now breaker.Instant) []breaker.Status {
	return s.router.snapshot(all, now, false)
}

func (r *Router) snapshot(all []breaker.Status, now breaker.Instant, totals bool) []breaker.Status {
	from := len(all)
	r.mu.Lock() // no breaker moves meanwhile
	defer r.unlock()
	all = r.o.Engine.AppendSnapshot(all, now)
	if r.core.AnyPerNode() {
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
	at := r.core.Find(s.Key)
	own := *s
	switch {
	case at == nil:
		return
	case at.Here():
		r.core.Dress(s, now)
	default:
		r.reflect(s, now)
	}
	if !totals {
		s.Counts, s.SuccessLag, s.IgnoredLag = own.Counts, own.SuccessLag, own.IgnoredLag
	}
}

// withNodes is present for a list in which some breakers belong to proxies: it adds those that only other replicas know,
// and sums up again.
func (r *Router) withNodes(own []breaker.Status, now breaker.Instant, totals bool) (all []breaker.Status) {
	elsewhere := r.core.NodesElsewhere()
	for i := 0; i < len(own); {
		sum := own[i]
		s := r.core.SpecOf(sum.Key)
		if i++; s == nil || !s.PerNode {
			r.present(&sum, now, totals)
			all = append(all, sum)
			continue
		}
		first := len(all)
		one, _ := r.o.Engine.Status(sum.Key, now) // has the calls whose proxy is not known
		r.present(&one, now, totals)
		all = append(all, one)
		for ; i < len(own) && own[i].Key.Node != "" && core.Shared(own[i].Key) == sum.Key; i++ {
			if at := r.core.Find(own[i].Key); at == nil || !at.Here() && r.core.Mirror(own[i].Key) != nil {
				continue // it has moved, and follows below
			}
			node := own[i]
			r.present(&node, now, totals)
			all = append(all, node)
		}
		for _, key := range elsewhere[sum.Key] {
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
