package core

import (
	"breakwater.dev/breaker"
	"breakwater.dev/peers/internal/convert"
)

// Dress completes the status of a breaker that is here.
func (c *Core) Dress(s *breaker.Status, now breaker.Instant) {
	if h := c.holds[s.Key]; h != nil {
		total := h.base.Plus(convert.TotalsOfStatus(s))
		s.Counts, s.SuccessLag, s.IgnoredLag = total.Counts, total.SuccessLag, total.IgnoredLag
		if s.State == breaker.HalfOpen && h.fence > now {
			s.RetryAfter = max(s.RetryAfter, h.fence.Sub(now))
		}
		c.WaitsForTurn(s, h.turns.Current)
	}
	if s.State == breaker.HalfOpen && !c.Owns(s.Key, now) {
		s.RetryAfter = max(s.RetryAfter, tickPeriod)
	}
}

// Mirror returns the last known state of a breaker that is elsewhere, or nil.
func (c *Core) Mirror(key breaker.Key) *Mirror { return c.mirrors[key] }

// NodesElsewhere returns the breakers of proxies that only other replicas have, as far as they are known, by the breaker that the proxies share.
func (c *Core) NodesElsewhere() map[breaker.Key][]breaker.Key {
	elsewhere := map[breaker.Key][]breaker.Key{}
	for _, key := range breakers(c.mirrors) {
		if at := c.Find(key); key.Node != "" && (at == nil || !at.Here()) {
			elsewhere[Shared(key)] = append(elsewhere[Shared(key)], key)
		}
	}
	return elsewhere
}

// WaitsForTurn keeps this replica from dealing permits of connections in half-open while it is another one's turn.
func (c *Core) WaitsForTurn(s *breaker.Status, turn string) {
	of := c.SpecOf(s.Key)
	if s.State == breaker.HalfOpen && of != nil && of.connections && turn != c.o.Self.ID {
		s.RetryAfter = max(s.RetryAfter, figuresPeriod)
	}
}
