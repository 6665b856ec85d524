package core

import (
	"slices"

	"breakwater.dev/breaker"
	"breakwater.dev/peers/internal/convert"
	"breakwater.dev/peers/internal/peerspb"
	"breakwater.dev/peers/internal/roster"
)

// Mirror is the last known state of a breaker that is elsewhere.
type Mirror struct {
	State  *convert.State
	from   string        // the replica that has sent it as its own; "": another one has passed it on
	Credit breaker.Ratio // for the share of calls that a ramp admits
}

// Observe takes a transition of this replica's engine, and tells the other replicas. A transition of a breaker that is
// elsewhere does not count.
func (c *Core) Observe(t breaker.Transition, now breaker.Instant) {
	c.Awake(now)
	if c.InDoubt(now) {
		c.held = append(c.held, t)
		return
	}
	c.deliver(t, now)
}

func (c *Core) deliver(t breaker.Transition, now breaker.Instant) {
	at := c.Find(t.Key)
	if at == nil || at.To != "" {
		return
	}
	if at.waits.Load() {
		if c.pending[t.Key] != nil || t.Key.Node == "" {
			return
		}
		c.adopt(t.Key, nil, now) // a proxy's breaker that is new
	}
	h := c.hold(t.Key, 0, now)
	h.rank.Epoch, h.rank.Generation, h.rank.State = c.Epoch(), max(h.rank.Generation, t.Generation), t.Edge.To
	if isByHand(&t) {
		h.rank.HandEpoch, h.rank.HandGeneration = c.Epoch(), t.Generation
	}
	if t.Edge.To == breaker.HalfOpen {
		if since := breaker.Instant(at.refused.Load()); since != 0 {
			h.turns.Wants(c.o.Self.ID, since)
		}
		h.turns.Next(c.o.Self.ID, func(id string) bool { return id == c.o.Self.ID || c.roster.Reaches(id) }, now)
	}
	c.Tell(t.Key, &t, now)
	c.Later(func() { c.o.Deliver(t, false) })
}

// isByHand reports whether an operator has made the transition just now.
func isByHand(t *breaker.Transition) bool {
	return t.Edge.Reason == breaker.Forced || t.Edge.Reason == breaker.Reset
}

// state returns the state of a breaker that is here.
func (c *Core) State(key breaker.Key, now breaker.Instant) (s *convert.State, known bool) {
	h := c.holds[key]
	own, known := c.o.Engine.Status(key, now)
	kept, had := c.o.Engine.Holding(key, now)
	if !known || !had || h == nil {
		return nil, false
	}
	s = &convert.State{
		Rank: h.rank, Saved: kept.Saved, Ramping: own.Admits < breaker.Whole && own.State == breaker.Closed, Probes: own.ProbesInFlight, InFlight: own.InFlight, Window: own.Window,
		LastFailure: own.LastFailure,
	}
	s.Rank.Generation, s.Rank.State, s.Turn = own.Generation, own.State, h.turns.Current
	h.base.Plus(convert.TotalsOfStatus(&own)).Into(s)
	if of := c.SpecOf(key); of != nil {
		s.ConfigSum, s.Saved.Lease = of.sum, of.Lease
	}
	return s, true
}

// Tell sends the state of a breaker that is here to all other replicas.
func (c *Core) Tell(key breaker.Key, t *breaker.Transition, now breaker.Instant) {
	s, known := c.State(key, now)
	if !known {
		return
	}
	s.Transition = t
	m := convert.StateOut(s, now)
	for _, p := range c.Reached() {
		c.sendStates(p, []*peerspb.State{m})
	}
}

func (c *Core) sendStates(p *Peer, states []*peerspb.State) {
	p.stated++
	c.Send(p, &peerspb.Message{Kind: &peerspb.Message_States{States: &peerspb.States{Number: p.stated, States: states}}})
}

// sync asks another replica for all of its states, unless that was done just now.
func (c *Core) sync(p *Peer, now breaker.Instant) {
	if p.syncAt != 0 && now.Sub(p.syncAt) < Again {
		return
	}
	p.syncAt = now
	c.Send(p, &peerspb.Message{Kind: &peerspb.Message_Sync{Sync: &peerspb.Sync{Id: int64(now), View: roster.ViewOut(c.CurrentView())}}})
}

// tookSync answers with all states that this replica has, and has just handed over. While a breaker is about to come, all states would
// lack it, so it does not answer: it is asked again.
func (c *Core) tookSync(p *Peer, m *peerspb.Sync, now breaker.Instant) {
	c.learnView(m.GetView(), now)
	if len(c.pending) > 0 || c.InDoubt(now) {
		return
	}
	p.stated++
	all := &peerspb.States{Number: p.stated, All: true, Sync: m.GetId()}
	for _, key := range breakers(c.holds) {
		if at := c.Find(key); at == nil || !at.Here() {
			continue
		}
		if s, known := c.State(key, now); known && !isPlain(s) {
			all.States = append(all.States, convert.StateOut(s, now))
		}
	}
	for _, id := range SortedIDs(c.giving) { // the new owner may not have it yet
		all.States = append(all.States, convert.StateOut(c.giving[id].state, now))
	}
	c.Send(p, &peerspb.Message{Kind: &peerspb.Message_States{States: all}})
}

// isPlain reports whether a state says no more than the state of a breaker of which nothing is known, apart from its counts.
func isPlain(s *convert.State) bool {
	return s.Rank.HandEpoch == 0 && s.Saved.Sequence == 0 && s.Counts == breaker.Counts{}
}

// tookStates takes the states that another replica sends.
func (c *Core) tookStates(p *Peer, m *peerspb.States, now breaker.Instant) {
	number := m.GetNumber()
	defer func() { p.newest = max(p.newest, number) }()
	switch {
	case m.GetOffer(), number == 0: // neither numbered nor in order
	case m.GetAll():
		if m.GetSync() != int64(p.syncAt) || number < p.newest {
			return // it does not have a state that has come already; it is asked for again
		}
		p.known, p.synced = number, true
		c.offerMissing(p, m, now)
	case p.synced && number == p.known+1:
		p.known = number
	case p.synced && number <= p.known:
		return // it is older than what is known
	default:
		p.synced = false
		c.sync(p, now)
	}
	for _, one := range m.GetStates() {
		s, ok := convert.StateIn(one, now)
		if !ok || c.SpecOf(s.Saved.Key) == nil {
			continue
		}
		switch at := c.Find(s.Saved.Key); {
		case at == nil:
		case m.GetOffer():
			c.offered(s.Saved.Key, s, now)
		case !at.Here():
			c.Learn(p, s, at.To == p.ID && number > 0, now)
			if m.GetRelayed() && c.mirrors[s.Saved.Key] != nil {
				c.mirrors[s.Saved.Key].from = ""
			}
		}
	}
	if id := m.GetConfirm(); id != 0 {
		c.Send(p, &peerspb.Message{Kind: &peerspb.Message_Taken{Taken: &peerspb.Taken{Id: id}}})
	}
	c.relay(p, m, now)
}

// offerMissing offers the breakers of another replica that are not among all of its states. That replica may have just become their
// owner, or may not be it any longer. Nothing is forgotten: an open breaker must not pass for a closed one meanwhile.
func (c *Core) offerMissing(p *Peer, m *peerspb.States, now breaker.Instant) {
	listed := map[breaker.Key]bool{}
	for _, one := range m.GetStates() {
		listed[convert.KeyOf(one.GetKey())] = true
	}
	for key, of := range c.mirrors {
		if at := c.Find(key); at != nil && at.To == p.ID && !listed[key] {
			of.from = ""
			c.offer(p, key, now)
		}
	}
}

// Learn takes the state of a breaker that is elsewhere. owner says that the other replica decides about the breaker: then it has to
// know if this replica knows better.
func (c *Core) Learn(p *Peer, s *convert.State, owner bool, now breaker.Instant) {
	key := s.Saved.Key
	old := c.mirrors[key]
	if old != nil && s.Rank.Compare(old.State.Rank) < 0 {
		if owner {
			old.from = ""
			c.offer(p, key, now)
		}
		return
	}
	is := &Mirror{State: s, from: p.ID}
	if old != nil {
		is.Credit = old.Credit
	}
	c.mirrors[key] = is
	c.forceGroup(s, now)
	t := s.Transition
	switch {
	case t != nil && (old == nil || t.Sequence > old.State.Saved.Sequence):
		one := *t
		c.Later(func() { c.o.Deliver(one, true) })
	case old == nil || old.State.Rank != s.Rank:
		c.changed(key)
	}
}

// relay passes the states of a replica on to those that do not reach it.
func (c *Core) relay(from *Peer, m *peerspb.States, now breaker.Instant) {
	if m.GetRelayed() || m.GetOffer() {
		return
	}
	for _, p := range c.Others() {
		if p == from || !p.Reached || slices.Contains(from.Hears, p.ID) {
			continue
		}
		passed := &peerspb.States{Relayed: true}
		for _, one := range m.GetStates() {
			s, ok := convert.StateIn(one, now)
			if ok {
				passed.States = append(passed.States, convert.StateOut(s, now))
			}
		}
		c.Send(p, &peerspb.Message{Kind: &peerspb.Message_States{States: passed}})
	}
}

// sendFigures sends the counts of breakers that have changed. They may be lost.
func (c *Core) sendFigures(now breaker.Instant) {
	c.figures = now
	m := &peerspb.States{}
	c.holdNodes(now)
	for _, key := range breakers(c.holds) {
		at, h := c.Find(key), c.holds[key]
		own, known := c.o.Engine.Status(key, now)
		if at == nil || !at.Here() || !known || own.Counts.Requests == h.told {
			continue
		}
		h.told = own.Counts.Requests
		if s, known := c.State(key, now); known {
			m.States = append(m.States, convert.StateOut(s, now))
		}
	}
	if len(m.States) == 0 {
		return
	}
	for _, p := range c.Reached() {
		c.Send(p, &peerspb.Message{Kind: &peerspb.Message_States{States: m}})
	}
}

// offer is a state on its way to the new owner of its breaker.
type offer struct {
	sent, until breaker.Instant
}

// offerMirrors tells the new owners of breakers what this replica knows of them.
func (c *Core) offerMirrors(moves []move, now breaker.Instant) {
	for _, m := range moves {
		if p := c.Known(m.is.To); m.is.To != "" && p != nil && c.mirrors[m.key] != nil {
			c.offer(p, m.key, now)
		}
	}
}

// offer tells another replica what this one knows of a breaker, until it says what it knows itself.
func (c *Core) offer(p *Peer, key breaker.Key, now breaker.Instant) {
	if p.offers == nil {
		p.offers = map[breaker.Key]*offer{}
	}
	p.offers[key] = &offer{until: now.Add(7 * Again)}
}

// remind sends offers, and sends them again where they may have got lost.
func (c *Core) remind(now breaker.Instant) {
	for _, p := range c.Others() {
		m := &peerspb.States{Offer: true}
		for _, key := range breakers(p.offers) {
			known, o := c.mirrors[key], p.offers[key]
			if known == nil || known.from == p.ID || now >= o.until {
				delete(p.offers, key)
				continue
			}
			if o.sent == 0 || now.Sub(o.sent) >= Again {
				o.sent = now
				m.States = append(m.States, convert.StateOut(known.State, now))
			}
		}
		if len(m.States) > 0 {
			c.Send(p, &peerspb.Message{Kind: &peerspb.Message_States{States: m}})
		}
	}
}
