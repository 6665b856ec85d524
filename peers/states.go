package peers

import (
	"breakwater.dev/breaker"
	"breakwater.dev/peers/internal/convert"
	"breakwater.dev/peers/internal/peerspb"
)

// mirror is what is known of a breaker that is elsewhere.
type mirror struct {
	state  *convert.State
	from   string          // the replica that has sent it
	at     breaker.Instant // when it was last heard of
	credit breaker.Ratio   // for the share of calls that a ramp admits
}

// Observe takes a transition of this replica's engine, and tells the other replicas. A transition of a breaker that is
// elsewhere does not count.
func (r *Router) Observe(t breaker.Transition, now breaker.Instant) {
	r.mu.Lock()
	defer r.unlock()
	r.awake(now)
	if r.inDoubt(now) {
		r.held = append(r.held, t)
		return
	}
	r.deliver(t, now)
}

func (r *Router) deliver(t breaker.Transition, now breaker.Instant) {
	at := r.find(t.Key)
	if at == nil || at.to != "" {
		return
	}
	if at.waits.Load() {
		if r.pending[t.Key] != nil || t.Key.Node == "" {
			return
		}
		r.adopt(t.Key, nil, now) // a proxy's breaker that is new
	}
	h := r.hold(t.Key, 0, now)
	h.rank.Epoch, h.rank.Generation, h.rank.State = r.epoch(), max(h.rank.Generation, t.Generation), t.Edge.To
	if isByHand(&t) {
		h.rank.HandEpoch, h.rank.HandGeneration = r.epoch(), t.Generation
	}
	if t.Edge.To == breaker.HalfOpen {
		r.nextTurn(h, at, now)
	}
	r.tell(t.Key, &t, now)
	r.later(func() { r.o.Deliver(t, false) })
}

// isByHand reports whether an operator has made the transition just now.
func isByHand(t *breaker.Transition) bool {
	return t.Edge.Reason == breaker.Forced || t.Edge.Reason == breaker.Reset
}

// state returns the state of a breaker that is here.
func (r *Router) state(key breaker.Key, now breaker.Instant) (s *convert.State, known bool) {
	h := r.holdings[key]
	own, known := r.o.Engine.Status(key, now)
	kept, had := r.o.Engine.Holding(key, now)
	if !known || !had || h == nil {
		return nil, false
	}
	s = &convert.State{
		Rank: h.rank, Saved: kept.Saved, Ramping: own.Admits < breaker.Whole && own.State == breaker.Closed, Probes: own.ProbesInFlight, InFlight: own.InFlight, Window: own.Window,
		LastFailure: own.LastFailure,
	}
	s.Rank.Generation, s.Rank.State, s.Turn = own.Generation, own.State, h.turn
	h.base.plus(countsOfStatus(&own)).into(s)
	if of := r.specOf(key); of != nil {
		s.ConfigSum, s.Saved.Lease = of.sum, of.Lease
	}
	return s, true
}

// tell sends the state of a breaker that is here to all other replicas.
func (r *Router) tell(key breaker.Key, t *breaker.Transition, now breaker.Instant) {
	s, known := r.state(key, now)
	if !known {
		return
	}
	s.Transition = t
	m := convert.StateOut(s, now)
	for _, p := range r.others() {
		if p.Reached {
			r.sendStates(p, []*peerspb.State{m})
		}
	}
}

func (r *Router) sendStates(p *peer, states []*peerspb.State) {
	p.stated++
	r.send(p, &peerspb.Message{Kind: &peerspb.Message_States{States: &peerspb.States{Number: p.stated, States: states}}})
}

// sync asks another replica for all of its states, unless that was done just now.
func (r *Router) sync(p *peer, now breaker.Instant) {
	if p.syncAt != 0 && now.Sub(p.syncAt) < again {
		return
	}
	p.syncAt = now
	r.send(p, &peerspb.Message{Kind: &peerspb.Message_Sync{Sync: &peerspb.Sync{Id: int64(now)}}})
}

func (r *Router) tookSync(p *peer, m *peerspb.Sync, now breaker.Instant) {
	p.stated++
	all := &peerspb.States{Number: p.stated, All: true, Sync: m.GetId()}
	for _, key := range breakers(r.holdings) {
		if at := r.find(key); at == nil || !at.here() {
			continue
		}
		if s, known := r.state(key, now); known && !isPlain(s) {
			all.States = append(all.States, convert.StateOut(s, now))
		}
	}
	r.send(p, &peerspb.Message{Kind: &peerspb.Message_States{States: all}})
}

// isPlain reports whether a state is as that of a breaker of which nothing is known, apart from its counts.
func isPlain(s *convert.State) bool {
	return s.Rank.HandEpoch == 0 && s.Saved.Sequence == 0 && s.Counts == breaker.Counts{}
}

// tookStates takes what another replica tells of its breakers.
func (r *Router) tookStates(p *peer, m *peerspb.States, now breaker.Instant) {
	number := m.GetNumber()
	switch {
	case m.GetOffer(), number == 0: // neither numbered nor in order
	case m.GetAll():
		if m.GetSync() != int64(p.syncAt) || p.synced && number < p.known {
			return
		}
		p.known, p.synced = number, true
		r.dropMirrors(p, m, now)
	case p.synced && number == p.known+1:
		p.known = number
	case p.synced && number <= p.known:
		return // it is older than what is known
	default:
		p.synced = false
		r.sync(p, now)
	}
	for _, one := range m.GetStates() {
		s, ok := convert.StateIn(one, now)
		if !ok || r.specOf(s.Saved.Key) == nil {
			continue
		}
		switch at := r.find(s.Saved.Key); {
		case at == nil:
		case m.GetOffer():
			r.offered(s.Saved.Key, s, now)
		case !at.here():
			r.learn(p, s, at.to == p.ID && number > 0, now)
		}
	}
	if id := m.GetConfirm(); id != 0 {
		r.send(p, &peerspb.Message{Kind: &peerspb.Message_Taken{Taken: &peerspb.Taken{Id: id}}})
	}
	r.relay(p, m, now)
}

// dropMirrors forgets the breakers of another replica that are not among all of its states.
func (r *Router) dropMirrors(p *peer, m *peerspb.States, _ breaker.Instant) {
	listed := map[breaker.Key]bool{}
	for _, one := range m.GetStates() {
		listed[convert.KeyOf(one.GetKey())] = true
	}
	for key := range r.mirrors {
		if at := r.find(key); at != nil && at.to == p.ID && !listed[key] {
			delete(r.mirrors, key)
			r.changed(key)
		}
	}
}

// learn takes the state of a breaker that is elsewhere. news says that the owner has just sent it, so that it is right whatever
// is known; else it may be late.
func (r *Router) learn(p *peer, s *convert.State, news bool, now breaker.Instant) {
	key := s.Saved.Key
	old := r.mirrors[key]
	if old != nil && !news && s.Rank.Compare(old.state.Rank) < 0 {
		return
	}
	is := &mirror{state: s, from: p.ID, at: now}
	if old != nil {
		is.credit = old.credit
	}
	r.mirrors[key] = is
	r.forceGroup(s, now)
	t := s.Transition
	switch {
	case t != nil && (old == nil || t.Sequence > old.state.Saved.Sequence):
		one := *t
		r.later(func() { r.o.Deliver(one, true) })
	case old == nil || old.state.Rank != s.Rank:
		r.changed(key)
	}
}

// relay passes the states of a replica on to those that do not reach it.
func (r *Router) relay(from *peer, m *peerspb.States, now breaker.Instant) {
	if m.GetRelayed() || m.GetOffer() {
		return
	}
	for _, p := range r.others() {
		if p == from || !p.Reached || contains(from.Hears, p.ID) {
			continue
		}
		passed := &peerspb.States{Relayed: true}
		for _, one := range m.GetStates() {
			s, ok := convert.StateIn(one, now)
			if ok {
				passed.States = append(passed.States, convert.StateOut(s, now))
			}
		}
		r.send(p, &peerspb.Message{Kind: &peerspb.Message_States{States: passed}})
	}
}

func contains(ids []string, id string) bool {
	for _, one := range ids {
		if one == id {
			return true
		}
	}
	return false
}

// sendFigures sends the counts of breakers that have changed. They may be lost.
func (r *Router) sendFigures(now breaker.Instant) {
	r.figures = now
	m := &peerspb.States{}
	r.holdNodes(now)
	for _, key := range breakers(r.holdings) {
		at, h := r.find(key), r.holdings[key]
		own, known := r.o.Engine.Status(key, now)
		if at == nil || !at.here() || !known || own.Counts.Requests == h.told {
			continue
		}
		h.told = own.Counts.Requests
		if s, known := r.state(key, now); known {
			m.States = append(m.States, convert.StateOut(s, now))
		}
	}
	if len(m.States) == 0 {
		return
	}
	for _, p := range r.others() {
		if p.Reached {
			r.send(p, &peerspb.Message{Kind: &peerspb.Message_States{States: m}})
		}
	}
}

// offer is what this replica knows of a breaker that another one has taken over.
type offer struct {
	sent, until breaker.Instant
}

// offerMirrors tells the new owners of breakers what this replica knows of them.
func (r *Router) offerMirrors(moves []move, now breaker.Instant) {
	for _, m := range moves {
		p := r.known(m.is.to)
		if m.is.to == "" || p == nil || r.mirrors[m.key] == nil {
			continue
		}
		if p.offers == nil {
			p.offers = map[breaker.Key]*offer{}
		}
		p.offers[m.key] = &offer{until: now.Add(7 * again)}
	}
}

// remind sends offers, and sends them again where they may have got lost.
func (r *Router) remind(now breaker.Instant) {
	for _, p := range r.others() {
		m := &peerspb.States{Offer: true}
		for _, key := range breakers(p.offers) {
			known, o := r.mirrors[key], p.offers[key]
			if known == nil || known.from == p.ID || now >= o.until {
				delete(p.offers, key)
				continue
			}
			if o.sent == 0 || now.Sub(o.sent) >= again {
				o.sent = now
				m.States = append(m.States, convert.StateOut(known.state, now))
			}
		}
		if len(m.States) > 0 {
			r.send(p, &peerspb.Message{Kind: &peerspb.Message_States{States: m}})
		}
	}
	for _, id := range sortedKeys(r.changes) {
		r.hurry(r.changes[id], now)
	}
	for _, i := range r.running.Slow(now) {
		r.pass(i, now)
	}
	r.asks.Forget(now)
}
