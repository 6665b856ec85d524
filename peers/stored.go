package peers

import "breakwater.dev/breaker"

// Stored is the state of a breaker that a replica has saved, perhaps one that has ended.
type Stored struct {
	Epoch uint64 // by which it was saved
	Saved breaker.Saved
}

// Offer takes states that were saved. Each is compared with what this replica knows of the breaker, and the one that came about
// later is in force.
func (r *Router) Offer(stored []Stored, now breaker.Instant) {
	r.mu.Lock()
	defer r.unlock()
	for i := range stored {
		r.core.Offer(stored[i].Epoch, &stored[i].Saved, now)
	}
}

// Owned reports whether this replica is the owner of a breaker, and has it. The epoch belongs to its view.
func (r *Router) Owned() (epoch uint64, owns func(breaker.Key) bool) {
	r.mu.Lock()
	defer r.unlock()
	return r.core.Owned()
}

// Here reports whether this replica decides about a breaker, as its owner or in the place of an owner that it does not reach.
func (r *Router) Here(key breaker.Key) bool {
	at := r.core.Find(key)
	return at != nil && at.Here()
}

// Settled reports whether this replica knows the breakers of all others that it reaches, so that it can serve proxies.
func (r *Router) Settled() bool {
	r.mu.Lock()
	defer r.unlock()
	return r.core.Settled()
}
