package core

import (
	"breakwater.dev/breaker"
	"breakwater.dev/peers/internal/convert"
)

// forceGroup makes a change by hand of all proxies' breakers here, too. Each proxy's breaker is at some replica, and the change was
// made at the one that has the breaker which they share.
func (c *Core) forceGroup(s *convert.State, now breaker.Instant) {
	key := s.Saved.Key
	of := c.specs[key]
	if of == nil || !of.PerNode || s.Rank.HandEpoch == 0 {
		return
	}
	last := convert.Rank{HandEpoch: s.Rank.HandEpoch, HandGeneration: s.Rank.HandGeneration}
	if last.Compare(c.groups[key]) <= 0 {
		return
	}
	c.groups[key] = last
	if o := s.Saved.Override; o != nil {
		_ = c.o.Engine.Force(key, *o, now) // it may be over
		return
	}
	by, note := "another replica", "it was reset there"
	if t := s.Transition; t != nil && t.By != "" {
		by, note = t.By, t.Note
	}
	_ = c.o.Engine.Reset(key, by, note, now)
}
