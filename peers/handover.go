package peers

import (
	"slices"

	"breakwater.dev/breaker"
	"breakwater.dev/peers/internal/convert"
	"breakwater.dev/peers/internal/outbox"
	"breakwater.dev/peers/internal/peerspb"
	"breakwater.dev/peers/internal/roster"
)

// holding is what a router knows of a breaker that is here.
type holding struct {
	from    convert.Rank // of the state with which it came; all zero where nothing was known
	rank    convert.Rank // of the present state
	adopted uint64       // the generation with which it began here
	merged  bool         // what the replica before handed over is in it
	// base is added to the engine's counts: what other replicas have counted.
	base  counts
	fence breaker.Instant // no permit is given before
	told  uint64          // the requests when counts were last sent
	// turn is the replica that deals permits of connections, and demand has when the proxies of each last refused some.
	turn    string
	demand  map[string]breaker.Instant
	samples map[string]sampled // how densely the proxies of other replicas log
}

// hold returns the holding of a breaker that is here. That of a proxy's breaker begins when the breaker does, in a generation.
func (r *Router) hold(key breaker.Key, generation uint64, now breaker.Instant) *holding {
	h := r.holdings[key]
	if h == nil {
		h = &holding{fence: r.fenceAfter(key, now), rank: convert.Rank{Epoch: r.epoch(), Generation: generation}, adopted: generation}
		r.holdings[key] = h
	}
	return h
}

// holdNodes begins the holdings of proxies' breakers that have begun by calls here, so that other replicas learn of them.
func (r *Router) holdNodes(now breaker.Instant) {
	if !r.anyPerNode() {
		return
	}
	for _, s := range r.o.Engine.Snapshot(now) {
		of, at := r.specOf(s.Key), r.find(s.Key)
		if s.Key.Node != "" && of != nil && of.PerNode && at != nil && at.here() {
			r.hold(s.Key, s.Generation, now)
		}
	}
}

// pending is a breaker that is here soon.
type pending struct {
	from  string
	until breaker.Instant // when it goes on without what the one before knew
	items []*outbox.Item  // that wait
	size  int
}

// giving is a breaker on its way to another replica.
type giving struct {
	key      breaker.Key
	to       string
	state    *convert.State
	handover breaker.Handover
	rightful bool
	sent     breaker.Instant
}

// maxPending is how many outcomes of one breaker may wait for the breaker.
const maxPending = 10_000

// move is a breaker whose place has changed. was is nil where the breaker is new here.
type move struct {
	key     breaker.Key
	was, is *place
}

// move moves breakers.
func (r *Router) move(moves []move, now breaker.Instant) {
	for _, m := range moves {
		wasHere := m.was != nil && m.was.to == ""
		switch {
		case m.is.to == "" && wasHere: // only its kind has changed
			r.adopt(m.key, nil, now)
		case m.is.to == "":
			r.expect(m, now)
		case wasHere:
			r.give(m.key, m.is.to, now)
		}
	}
	r.retarget(now)
	r.recall(moves, now)
	r.offerMirrors(moves, now)
}

// expect makes a breaker this replica's. It waits for what the replica before knew, if that one is there.
func (r *Router) expect(m move, now breaker.Instant) {
	if m.was != nil {
		if p := r.known(m.was.to); p != nil && p.Answers(now) {
			r.pending[m.key] = &pending{from: p.ID, until: now.Add(patience)}
			return
		}
	}
	r.adopt(m.key, nil, now)
}

// adopt makes a breaker this replica's now: as it was handed over, or as its mirror is, or new.
func (r *Router) adopt(key breaker.Key, g *handed, now breaker.Instant) {
	h := &holding{fence: r.fenceAfter(key, now)}
	m := r.mirrors[key]
	delete(r.mirrors, key)
	var state *convert.State
	switch {
	case g != nil && (m == nil || g.state.Rank.Compare(m.state.Rank) >= 0):
		state = g.state
		if g.rightful {
			h.fence = 0
		}
	case m != nil:
		state, g = m.state, nil
	}
	if state != nil {
		r.load(key, h, state, g, now)
	} else {
		own, _ := r.o.Engine.Status(key, now)
		if s := r.specOf(key); s != nil && own.State == breaker.Closed {
			blank := breaker.Handover{Saved: breaker.Saved{Key: key, Config: s.Config, Since: own.Since, Sequence: own.Sequence, Generation: own.Generation}}
			blank.LastProbe = r.firstProbe()
			r.o.Engine.TakeOver(&blank, 0, now)
		}
		h.rank, h.adopted = convert.Rank{Epoch: r.epoch(), Generation: own.Generation, State: own.State}, own.Generation
	}
	h.merged = g != nil
	r.holdings[key] = h
	p := r.pending[key]
	delete(r.pending, key)
	if at := r.find(key); at != nil && at.to == "" {
		at.waits.Store(false)
	}
	if p != nil {
		for _, i := range p.items {
			r.apply(i, now)
		}
	}
	r.o.Log.Debug("a breaker is here now", "breaker", key.String(), "known", state != nil, "handed_over", g != nil, "generation", h.rank.Generation, "no_permits_for", max(h.fence.Sub(now), 0))
	if state != nil {
		r.stats.takeovers.Add(1)
		r.tell(key, nil, now)
		r.changed(key)
	}
}

// handed is what another replica has handed over.
type handed struct {
	state    *convert.State
	handover breaker.Handover
	rightful bool
}

// load has the engine go on from a state.
func (r *Router) load(key breaker.Key, h *holding, state *convert.State, g *handed, now breaker.Instant) {
	took := breaker.Handover{Saved: state.Saved, LastFailure: state.LastFailure}
	if g != nil {
		took = g.handover
		took.Saved = state.Saved
	}
	if s := r.specOf(key); s != nil && s.sum == state.ConfigSum {
		took.Config = s.Config
	}
	if g == nil {
		took.LastProbe = r.firstProbe()
	}
	r.o.Engine.Forsake(key, now)
	r.o.Engine.TakeOver(&took, 0, now)
	own, _ := r.o.Engine.Status(key, now)
	h.base = countsOf(state).minus(countsOfStatus(&own))
	h.from = state.Rank
	h.rank = state.Rank
	h.rank.Epoch = r.epoch()
	h.rank.Generation, h.rank.State, h.adopted = own.Generation, own.State, own.Generation
}

// firstProbe returns the number after which the ids of probes begin, where those of the replica before are not known. Each epoch
// has room for as many as a breaker can have probes in it.
func (r *Router) firstProbe() uint32 { return uint32(r.epoch() << 16) }

// untouched reports whether the breaker has changed its state since it came.
func (h *holding) untouched() bool { return h.rank.Generation == h.adopted }

// give hands a breaker over, and mirrors it from now on.
func (r *Router) give(key breaker.Key, to string, now breaker.Instant) {
	h := r.holdings[key]
	if p := r.pending[key]; p != nil { // it never came
		delete(r.pending, key)
		for _, i := range p.items {
			r.forward(i, to, now)
		}
		return
	}
	if h == nil {
		return
	}
	state, known := r.state(key, now)
	r.o.Log.Debug("a breaker is handed over", "breaker", key.String(), "to", to)
	delete(r.holdings, key)
	handover, had := r.o.Engine.HandOver(key, now)
	if !known || !had {
		return
	}
	r.mirrors[key] = &mirror{state: state, from: r.o.Self.ID, at: now}
	r.giving[r.id()] = &giving{
		key: key, to: to, state: state, handover: handover,
		// The new owner may give permits at once if this replica could, by the view before.
		rightful: h.fence <= now && r.before != nil && r.before(key) == r.o.Self.ID,
	}
}

// retarget sends what is handed over to where it belongs now, and again where it may have got lost.
func (r *Router) retarget(now breaker.Instant) {
	for _, id := range sortedKeys(r.giving) {
		g := r.giving[id]
		at := r.find(g.key)
		switch {
		case at == nil || at.to == "": // it is here again
			delete(r.giving, id)
			continue
		case at.to != g.to:
			g.to, g.sent = at.to, 0
		}
		if g.sent == 0 || now.Sub(g.sent) >= again {
			g.sent = now
			r.sendTo(g.to, &peerspb.Message{Kind: &peerspb.Message_Handover{Handover: &peerspb.Handover{
				Id: id, View: roster.ViewOut(r.view()), State: convert.StateOut(g.state, now), Memory: convert.MemoryOut(&g.handover, now), Rightful: g.rightful,
			}}})
		}
	}
}

// tookHandover takes a breaker from another replica.
func (r *Router) tookHandover(p *peer, m *peerspb.Handover, now breaker.Instant) {
	r.learnView(m.GetView(), now)
	state, ok := convert.StateIn(m.GetState(), now)
	if !ok {
		return
	}
	key := state.Saved.Key
	g := &handed{state, convert.MemoryIn(m.GetMemory(), now), m.GetRightful() && m.GetView().GetEpoch() == r.epoch()}
	at := r.find(key)
	if at == nil || at.to != "" || r.inDoubt(now) {
		return // it is sent again, by then one of us knows better
	}
	r.send(p, &peerspb.Message{Kind: &peerspb.Message_Taken{Taken: &peerspb.Taken{Id: m.GetId()}}})
	h := r.holdings[key]
	switch {
	case h == nil:
		r.adopt(key, g, now)
	case state.Rank.Compare(h.from) == 0 && h.untouched() && !h.merged:
		r.merge(key, h, g, now)
	default:
		r.offered(key, state, now)
	}
}

// merge adds what was handed over late to what was counted since. The probes of a half-open breaker are not added: this replica
// has given permits of its own, after those of the other one had run out.
func (r *Router) merge(key breaker.Key, h *holding, g *handed, now breaker.Instant) {
	h.merged = true
	if g.state.Saved.State != breaker.Closed {
		return
	}
	took := g.handover
	took.Saved = g.state.Saved
	if s := r.specOf(key); s != nil && s.sum == g.state.ConfigSum {
		took.Config = s.Config
	}
	r.o.Engine.TakeOver(&took, 0, now)
	if g.rightful {
		h.fence = 0
	}
}

// offered compares a state that another replica has with the one here, and takes the greater one.
func (r *Router) offered(key breaker.Key, s *convert.State, now breaker.Instant) {
	h := r.holdings[key]
	switch {
	case r.inDoubt(now):
		return // transitions of this replica may not count yet
	case h == nil:
		if m := r.mirrors[key]; m == nil || s.Rank.Compare(m.state.Rank) > 0 {
			r.mirrors[key] = &mirror{state: s, at: now}
		}
		return
	}
	mine := h.rank
	if s.Rank.Compare(mine) == 0 {
		return // it comes back
	}
	if h.untouched() {
		mine.Epoch = h.from.Epoch
	}
	if s.Rank.Compare(mine) <= 0 {
		return
	}
	if h.from != (convert.Rank{}) || !h.untouched() { // this replica has shown another state with its generation
		s.Saved.Generation = max(s.Saved.Generation, h.rank.Generation) + 1
	}
	s.Saved.Sequence = max(s.Saved.Sequence, r.sequence(key, now))
	r.load(key, h, s, nil, now)
	h.from = h.rank
	if of := r.specOf(key); of != nil {
		h.fence = max(h.fence, now.Add(of.Lease)) // probes of the state before may be in flight
	}
	r.tell(key, nil, now)
	r.changed(key)
}

func (r *Router) sequence(key breaker.Key, now breaker.Instant) uint64 {
	s, _ := r.o.Engine.Status(key, now)
	return s.Sequence
}

// overdue goes on without what others do not say.
func (r *Router) overdue(now breaker.Instant) {
	var late []breaker.Key
	for key, p := range r.pending {
		from := r.known(p.from)
		if now >= p.until || from == nil || !from.Reached && !from.Leaving {
			late = append(late, key)
		}
	}
	slices.SortFunc(late, compareKeys)
	for _, key := range late {
		r.adopt(key, nil, now)
	}
}
