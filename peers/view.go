package peers

import (
	"breakwater.dev/breaker"
	"breakwater.dev/membership"
	"breakwater.dev/peers/internal/peerspb"
	"breakwater.dev/peers/internal/roster"
)

// View says who the members are. A view that is older than the one in force is ignored.
func (r *Router) View(v membership.View, now breaker.Instant) {
	r.mu.Lock()
	defer r.unlock()
	r.takeView(v, now)
}

// Lease says that this replica is surely a member, by the epoch of its view, until an instant. The caller has found that out
// by a question that it asked at another instant.
func (r *Router) Lease(epoch uint64, asked, until, now breaker.Instant) {
	r.mu.Lock()
	defer r.unlock()
	r.roster.Renew(epoch, asked, until)
	r.resume(now)
}

// learnView takes a view of another replica.
func (r *Router) learnView(m *peerspb.View, now breaker.Instant) {
	if m.GetEpoch() > r.epoch() {
		r.takeView(roster.ViewIn(m), now)
	}
}

func (r *Router) takeView(v membership.View, now breaker.Instant) {
	before := r.table.Load().places
	changed, follows := r.roster.Apply(v, now)
	if !changed {
		return
	}
	if follows {
		r.before = before.Owner
	}
	r.replace(now)
	r.fence(now)
	r.before = nil
	r.beats(now) // replicas that do not know it must stop to act by the old view
}

// view returns the view in force.
func (r *Router) view() *membership.View {
	v, _ := r.roster.View()
	return v
}

// epoch returns the epoch of the view in force.
func (r *Router) epoch() uint64 { return r.view().Epoch }

// fence has this replica give no permits of breakers that it has become the owner of, until the permits have run out that the
// owner before may have given. A replica that has missed a view cannot know who that was.
func (r *Router) fence(now breaker.Instant) {
	places := r.table.Load().places
	for key, h := range r.holdings {
		if places.Owner(key) == r.o.Self.ID && (r.before == nil || r.before(key) != r.o.Self.ID) {
			h.fence = max(h.fence, r.fenceAfter(key, now))
		}
	}
}

// fenceAfter returns when no permit is valid any longer that another owner may give from now on.
func (r *Router) fenceAfter(key breaker.Key, now breaker.Instant) breaker.Instant {
	s := r.specOf(key)
	if s == nil {
		return now.Add(roster.Lease)
	}
	return now.Add(roster.Lease + s.Lease)
}

// owns reports whether this replica is the owner of a breaker, and surely still is.
func (r *Router) owns(key breaker.Key, now breaker.Instant) bool {
	return r.table.Load().places.Owner(key) == r.o.Self.ID && r.roster.Certain(now)
}

// mayGrant reports whether this replica may give permits of a breaker that is here.
func (r *Router) mayGrant(key breaker.Key, now breaker.Instant) bool {
	h := r.holdings[key]
	return h != nil && now >= h.fence && r.owns(key, now)
}

// Leave has other replicas take all breakers. The view without this replica may come before or after it.
func (r *Router) Leave(now breaker.Instant) {
	r.mu.Lock()
	defer r.unlock()
	r.roster.Leaving = true
	r.beats(now)
	r.replace(now)
}

// Left reports whether all breakers have been taken by other replicas, or there is no other replica.
func (r *Router) Left() bool {
	r.mu.Lock()
	defer r.unlock()
	return len(r.giving) == 0
}

// Known returns the view by which this replica acts.
func (r *Router) Known() membership.View {
	r.mu.Lock()
	defer r.unlock()
	return *r.view()
}

// awake notices that the process has stood still.
func (r *Router) awake(now breaker.Instant) {
	if still := r.roster.Awake(now); still > 0 {
		r.o.Log.Warn("the process has stood still; it gives no permits until other replicas confirm that it is still a member", "for", still.String())
		r.beats(now)
	}
}

// inDoubt reports whether the process has stood still, so that its breakers may be another replica's.
func (r *Router) inDoubt(now breaker.Instant) bool {
	r.awake(now)
	return r.roster.InDoubt(now)
}

// resume delivers the transitions that were made in doubt, when that is over.
func (r *Router) resume(now breaker.Instant) {
	if len(r.held) == 0 || r.roster.InDoubt(now) {
		return
	}
	held := r.held
	r.held = nil
	for _, t := range held {
		r.deliver(t, now)
	}
}
