package core

import (
	"breakwater.dev/breaker"
	"breakwater.dev/peers/internal/convert"
)

// Offer takes the state of a breaker that a replica has saved, perhaps one that has ended, by the view of an epoch.
func (c *Core) Offer(epoch uint64, saved *breaker.Saved, now breaker.Instant) {
	of := c.SpecOf(saved.Key)
	if of == nil {
		return
	}
	s := &convert.State{Saved: *saved, Rank: convert.Rank{Epoch: epoch, Generation: saved.Generation, State: saved.State}}
	if saved.Config == of.Config {
		s.ConfigSum = of.sum
	}
	if saved.Override != nil { // it was made at this generation at the latest
		s.Rank.HandEpoch, s.Rank.HandGeneration = epoch, saved.Generation
	}
	c.offered(saved.Key, s, now)
}

// Owned reports whether this replica is the owner of a breaker, and has it. The epoch belongs to its view.
func (c *Core) Owned() (epoch uint64, owns func(breaker.Key) bool) {
	if !c.CurrentView().Has(c.o.Self.ID) {
		return c.Epoch(), func(breaker.Key) bool { return false }
	}
	owned := make(map[breaker.Key]bool, len(c.holds))
	for key := range c.holds {
		if at := c.Find(key); at != nil && at.Here() && c.table.Load().places.Owner(key) == c.o.Self.ID {
			owned[key] = true
		}
	}
	return c.Epoch(), func(key breaker.Key) bool { return owned[key] }
}

// Settled reports whether this replica knows the breakers of all others that it reaches, so that it can serve proxies.
func (c *Core) Settled() bool {
	if _, begun := c.roster.View(); !begun || len(c.pending) > 0 {
		return false
	}
	for _, m := range c.CurrentView().Members {
		if m.ID == c.o.Self.ID {
			continue
		}
		if p := c.Known(m.ID); p == nil || !p.Reached || !p.synced {
			return false
		}
	}
	return true
}
