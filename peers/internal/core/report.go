package core

import (
	"breakwater.dev/breaker"
	"breakwater.dev/peers/internal/convert"
	"breakwater.dev/peers/internal/outbox"
	"breakwater.dev/peers/internal/peerspb"
)

// ReportHere tells the engine of outcomes of this replica's own proxies, whose breaker is here. It is safe for concurrent use.
func (c *Core) ReportHere(at *Place, s breaker.Subject, outcomes []breaker.Reported, now breaker.Instant) {
	at.sampled.Took(outcomes, now)
	c.local.Report(s, outcomes, now)
}

// RejectedHere tells the engine of calls that this replica's own proxies have rejected. It is safe for concurrent use.
func (c *Core) RejectedHere(at *Place, s breaker.Subject, n uint64, now breaker.Instant) {
	at.refused.Store(int64(now))
	c.local.Rejected(s, n, now)
}

// Pass brings an item to where its breaker is now.
func (c *Core) Pass(i *outbox.Item, now breaker.Instant) {
	at := c.Find(i.Subject.Key)
	switch {
	case at == nil || at.Here():
		c.apply(i, now)
	case at.To == "":
		c.keep(i, now)
	case i.Hops > MaxHops:
		c.Dropped += uint64(len(i.Outcomes))
	default:
		c.Forward(i, at.To, now)
	}
}

// keep has an item wait for its breaker.
func (c *Core) keep(i *outbox.Item, now breaker.Instant) {
	p := c.pending[i.Subject.Key]
	switch {
	case p == nil: // a proxy's breaker that is new
		c.adopt(i.Subject.Key, nil, now)
		c.apply(i, now)
	case p.size > maxPending:
		c.Dropped += uint64(len(i.Outcomes))
	default:
		p.items = append(p.items, i)
		p.size += len(i.Outcomes) + 1
	}
}

// forward has an item sent to another replica soon.
func (c *Core) Forward(i *outbox.Item, to string, now breaker.Instant) {
	p := c.Known(to)
	if p == nil {
		c.Dropped += uint64(len(i.Outcomes))
		return
	}
	before, busy := p.out.Due()
	dropped := p.out.Dropped
	into := p.out.Item(i.Subject, i.Hops, now)
	into.Outcomes = append(into.Outcomes, i.Outcomes...)
	into.Settled = append(into.Settled, i.Settled...)
	into.Rejected += i.Rejected
	into.OneIn = max(into.OneIn, i.OneIn)
	p.out.Added(len(i.Outcomes)+len(i.Settled), len(i.Settled) > 0)
	c.Forwarded += uint64(len(i.Outcomes) + len(i.Settled))
	c.Dropped += p.out.Dropped - dropped
	if due, _ := p.out.Due(); !busy || due < before {
		c.Later(c.o.Wake)
	}
}

// apply tells this replica's engine.
func (c *Core) apply(i *outbox.Item, now breaker.Instant) {
	if i.Rejected > 0 {
		c.local.Rejected(i.Subject, i.Rejected, now)
	}
	if len(i.Outcomes) > 0 {
		c.local.Report(i.Subject, i.Outcomes, now)
	}
	for _, s := range i.Settled {
		c.o.Engine.SettleProbe(i.Subject.Key, breaker.Settlement{Probe: s.Probe, Outcome: s.Outcome, Took: s.Took, Unsent: s.Unsent}, now)
	}
}

// tookReport takes the outcomes that another replica forwards.
func (c *Core) tookReport(p *Peer, m *peerspb.Report, now breaker.Instant) {
	if c.InDoubt(now) { // it comes again when it is clear whose breakers these are
		return
	}
	if !p.in.Accept(m.GetSession(), m.GetNumber()) {
		return
	}
	for _, one := range m.GetItems() {
		i, ok := convert.ItemOf(one, now)
		if !ok {
			c.Dropped++
			continue
		}
		i.Hops++
		c.Received += uint64(len(i.Outcomes) + len(i.Settled))
		if at, h := c.Find(i.Subject.Key), c.holds[i.Subject.Key]; at != nil && h != nil {
			h.samples.Took(p.ID, i.Outcomes, &at.sampled, now)
			if i.Rejected > 0 {
				h.turns.Wants(p.ID, now)
			}
		}
		c.Pass(i, now)
	}
}

// recall passes on what waits for replicas that no longer have the breakers.
func (c *Core) recall(moves []move, now breaker.Instant) {
	moved := map[breaker.Key]bool{}
	for _, m := range moves {
		moved[m.key] = true
	}
	var items []*outbox.Item
	for _, p := range c.Others() {
		took := p.out.Recall(func(key breaker.Key) bool { return moved[key] || moved[Shared(key)] }, !p.Reached)
		items = append(items, took...)
	}
	for _, i := range items {
		c.Pass(i, now)
	}
}
