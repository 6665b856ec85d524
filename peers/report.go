package peers

import (
	"breakwater.dev/breaker"
	"breakwater.dev/peers/internal/convert"
	"breakwater.dev/peers/internal/outbox"
	"breakwater.dev/peers/internal/peerspb"
)

// Report implements [breaker.Decider].
func (r *Router) Report(s breaker.Subject, outcomes []breaker.Reported, now breaker.Instant) {
	switch at := r.find(s.Key); {
	case at == nil:
		r.local.Report(s, outcomes, now)
		return
	case at.here():
		r.reportHere(at, s, outcomes, now)
		return
	}
	r.add(&outbox.Item{Subject: s, Outcomes: outcomes}, now)
}

// Rejected implements [breaker.Decider].
func (r *Router) Rejected(s breaker.Subject, n uint64, now breaker.Instant) {
	if at := r.find(s.Key); at == nil || at.here() {
		if at != nil {
			at.refused.Store(int64(now))
		}
		r.local.Rejected(s, n, now)
		return
	}
	r.add(&outbox.Item{Subject: s, Rejected: n}, now)
}

// add reports something of a breaker that is elsewhere, or comes soon.
func (r *Router) add(i *outbox.Item, now breaker.Instant) {
	r.mu.Lock()
	defer r.unlock()
	r.pass(i, now)
}

// host finds breakers for calls.
type host struct{ *Router }

// Report implements [calls.Host].
func (h host) Report(i *outbox.Item, now breaker.Instant) { h.add(i, now) }

// pass brings an item to where its breaker is now.
func (r *Router) pass(i *outbox.Item, now breaker.Instant) {
	at := r.find(i.Subject.Key)
	switch {
	case at == nil || at.here():
		r.apply(i, now)
	case at.to == "":
		r.keep(i, now)
	case i.Hops > maxHops:
		r.stats.dropped.Add(uint64(len(i.Outcomes)))
	default:
		r.forward(i, at.to, now)
	}
}

// keep has an item wait for its breaker.
func (r *Router) keep(i *outbox.Item, now breaker.Instant) {
	p := r.pending[i.Subject.Key]
	switch {
	case p == nil: // a proxy's breaker that nobody knew
		r.adopt(i.Subject.Key, nil, now)
		r.apply(i, now)
	case p.size > maxPending:
		r.stats.dropped.Add(uint64(len(i.Outcomes)))
	default:
		p.items = append(p.items, i)
		p.size += len(i.Outcomes) + 1
	}
}

// forward has an item sent to another replica soon.
func (r *Router) forward(i *outbox.Item, to string, now breaker.Instant) {
	p := r.known(to)
	if p == nil {
		r.stats.dropped.Add(uint64(len(i.Outcomes)))
		return
	}
	_, busy := p.out.Due()
	dropped := p.out.Dropped
	into := p.out.Item(i.Subject, i.Hops, now)
	into.Outcomes = append(into.Outcomes, i.Outcomes...)
	into.Settled = append(into.Settled, i.Settled...)
	into.Rejected += i.Rejected
	into.OneIn = max(into.OneIn, i.OneIn)
	p.out.Added(len(i.Outcomes)+len(i.Settled), len(i.Settled) > 0)
	r.stats.forwarded.Add(uint64(len(i.Outcomes) + len(i.Settled)))
	r.stats.dropped.Add(p.out.Dropped - dropped)
	if !busy || len(i.Settled) > 0 {
		r.later(r.o.Wake)
	}
}

// apply tells this replica's engine.
func (r *Router) apply(i *outbox.Item, now breaker.Instant) {
	if i.Rejected > 0 {
		r.local.Rejected(i.Subject, i.Rejected, now)
	}
	if len(i.Outcomes) > 0 {
		r.local.Report(i.Subject, i.Outcomes, now)
	}
	for _, s := range i.Settled {
		r.o.Engine.SettleProbe(i.Subject.Key, breaker.Settlement{Probe: s.Probe, Outcome: s.Outcome, Took: s.Took, Unsent: s.Unsent}, now)
	}
}

// tookReport takes the outcomes that another replica forwards.
func (r *Router) tookReport(p *peer, m *peerspb.Report, now breaker.Instant) {
	if r.inDoubt(now) { // it comes again when it is clear whose breakers these are
		return
	}
	if !p.in.Accept(m.GetSession(), m.GetNumber()) {
		return
	}
	for _, one := range m.GetItems() {
		i, ok := convert.ItemOf(one, now)
		if !ok {
			r.stats.malformed.Add(1)
			continue
		}
		i.Hops++
		r.stats.received.Add(uint64(len(i.Outcomes) + len(i.Settled)))
		r.sample(p, i, now)
		if i.Rejected > 0 {
			r.demand(i.Subject.Key, p.ID, now)
		}
		r.pass(i, now)
	}
}

// flush sends the reports that are due.
func (r *Router) flush(p *peer, now breaker.Instant) {
	for _, report := range p.out.Take(now) {
		r.send(p, &peerspb.Message{Kind: &peerspb.Message_Report{Report: convert.Report(report, p.out.Session, now)}})
	}
}

// recall passes on what waits for replicas that no longer have the breakers.
func (r *Router) recall(moves []move, now breaker.Instant) {
	moved := map[breaker.Key]bool{}
	for _, m := range moves {
		moved[m.key] = true
	}
	var items []*outbox.Item
	for _, p := range r.others() {
		took := p.out.Recall(func(key breaker.Key) bool { return moved[key] || moved[shared(key)] }, !p.Reached)
		items = append(items, took...)
	}
	for _, i := range items {
		r.pass(i, now)
	}
}
