package peers

import (
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/membership"
	"breakwater.dev/peers/internal/peerspb"
)

// forgetting is how long a silent replica that is no member is remembered.
const forgetting = 10 * time.Minute

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
	if epoch != r.view.Epoch {
		return
	}
	r.lease = max(r.lease, until)
	if r.thawed != 0 && asked >= r.thawed {
		r.confirm(now)
	}
}

// learnView takes a view of another replica.
func (r *Router) learnView(m *peerspb.View, now breaker.Instant) {
	if m.GetEpoch() > r.view.Epoch {
		r.takeView(viewIn(m), now)
	}
}

func (r *Router) takeView(v membership.View, now breaker.Instant) {
	if r.started && (v.Epoch < r.view.Epoch || v.Same(&r.view)) {
		return
	}
	old := r.view
	before := r.table.Load().places
	r.view, r.lease = v, 0
	for _, m := range v.Members {
		if m.ID != r.o.Self.ID {
			r.peer(m)
		}
	}
	for _, p := range r.peers {
		p.agreed = 0
	}
	if r.started && v.Follows != "" && v.Follows == old.Nonce {
		r.before = before.Owner
	}
	r.replace(now)
	r.fence(now)
	r.started, r.before = true, nil
	r.forget(now)
	r.beats(now) // those that have not heard of it must stop to act by the old view
}

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

// fenceAfter returns when no permit is valid any more that another owner may give from now on.
func (r *Router) fenceAfter(key breaker.Key, now breaker.Instant) breaker.Instant {
	s := r.specOf(key)
	if s == nil {
		return now.Add(Lease)
	}
	return now.Add(Lease + s.Lease)
}

// owns reports whether this replica is the owner of a breaker, and surely still is.
func (r *Router) owns(key breaker.Key, now breaker.Instant) bool {
	return r.thawed == 0 && r.table.Load().places.Owner(key) == r.o.Self.ID && (now < r.lease || !r.o.LeasesOnly && r.agreed(now))
}

// agreed reports whether all other members have confirmed the view within the time of a lease, so that none of them can have
// acted by another one.
func (r *Router) agreed(now breaker.Instant) bool {
	if !r.view.Has(r.o.Self.ID) {
		return false
	}
	for _, m := range r.view.Members {
		if m.ID == r.o.Self.ID {
			continue
		}
		if p := r.peers[m.ID]; p == nil || p.agreed == 0 || now >= p.agreed.Add(Lease) {
			return false
		}
	}
	return true
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
	r.leaving = true
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
	return r.view
}
