package peers

import (
	"breakwater.dev/breaker"
	"breakwater.dev/peers/internal/convert"
)

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
		saved := stored[i].Saved
		of := r.specOf(saved.Key)
		if of == nil {
			continue
		}
		s := &convert.State{Saved: saved, Rank: convert.Rank{Epoch: stored[i].Epoch, Generation: saved.Generation, State: saved.State}}
		if saved.Config == of.Config {
			s.ConfigSum = of.sum
		}
		if saved.Override != nil { // it was made at this generation at the latest
			s.Rank.HandEpoch, s.Rank.HandGeneration = stored[i].Epoch, saved.Generation
		}
		r.offered(saved.Key, s, now)
	}
}

// Owned reports whether this replica is the owner of a breaker, and has it. The epoch is that of its view.
func (r *Router) Owned() (epoch uint64, owns func(breaker.Key) bool) {
	r.mu.Lock()
	defer r.unlock()
	if !r.view().Has(r.o.Self.ID) {
		return r.epoch(), func(breaker.Key) bool { return false }
	}
	owned := make(map[breaker.Key]bool, len(r.holdings))
	for key := range r.holdings {
		if at := r.find(key); at != nil && at.here() && r.table.Load().places.Owner(key) == r.o.Self.ID {
			owned[key] = true
		}
	}
	return r.epoch(), func(key breaker.Key) bool { return owned[key] }
}

// Here reports whether this replica decides about a breaker, as its owner or in the place of an owner that it does not reach.
func (r *Router) Here(key breaker.Key) bool {
	at := r.find(key)
	return at != nil && at.here()
}

// Settled reports whether this replica knows the breakers of all others that it reaches, so that it can serve proxies.
func (r *Router) Settled() bool {
	r.mu.Lock()
	defer r.unlock()
	if _, begun := r.roster.View(); !begun || len(r.pending) > 0 {
		return false
	}
	for _, m := range r.view().Members {
		if m.ID == r.o.Self.ID {
			continue
		}
		if p := r.known(m.ID); p == nil || !p.Reached || !p.synced {
			return false
		}
	}
	return true
}
