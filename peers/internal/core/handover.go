package core

import (
	"slices"

	"breakwater.dev/breaker"
	"breakwater.dev/peers/internal/convert"
	"breakwater.dev/peers/internal/outbox"
	"breakwater.dev/peers/internal/peerspb"
	"breakwater.dev/peers/internal/roster"
	"breakwater.dev/peers/internal/sampling"
	"breakwater.dev/peers/internal/turns"
)

// holding is the knowledge of a router about a breaker that is here.
type holding struct {
	from    convert.Rank // the state with which it came; all zero where nothing was known
	rank    convert.Rank // the present state
	adopted uint64       // the generation with which it began here
	merged  bool         // it has the handover of the replica before
	// base is added to the engine's counts. It has the counts of other replicas.
	base    convert.Totals
	fence   breaker.Instant // no permit is given before
	told    uint64          // the requests when counts were last sent
	turns   turns.Turns
	samples sampling.Others
}

// hold returns the holding of a breaker that is here. The holding of a proxy's breaker begins when the breaker does, in a generation.
func (c *Core) hold(key breaker.Key, generation uint64, now breaker.Instant) *holding {
	h := c.holds[key]
	if h == nil {
		h = &holding{fence: c.fenceAfter(key, now), rank: convert.Rank{Epoch: c.Epoch(), Generation: generation}, adopted: generation}
		c.holds[key] = h
	}
	return h
}

// holdNodes begins the holdings of proxies' breakers that have begun by calls here, so that other replicas learn of them.
func (c *Core) holdNodes(now breaker.Instant) {
	if !c.AnyPerNode() {
		return
	}
	for _, s := range c.o.Engine.Snapshot(now) {
		of, at := c.SpecOf(s.Key), c.Find(s.Key)
		if s.Key.Node != "" && of != nil && of.PerNode && at != nil && at.Here() {
			c.hold(s.Key, s.Generation, now)
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
	was, is *Place
}

// move moves breakers.
func (c *Core) move(moves []move, now breaker.Instant) {
	for _, m := range moves {
		wasHere := m.was != nil && m.was.To == ""
		switch {
		case m.is.To == "" && wasHere: // only its kind has changed
			c.adopt(m.key, nil, now)
		case m.is.To == "":
			c.expect(m, now)
		case wasHere:
			c.give(m.key, m.is.To, now)
		}
	}
	c.retarget(now)
	c.recall(moves, now)
	c.offerMirrors(moves, now)
}

// expect makes a breaker this replica's. It waits for what the replica before knew, if that one is there.
func (c *Core) expect(m move, now breaker.Instant) {
	if m.was != nil {
		if p := c.Known(m.was.To); p != nil && p.Answers(now) {
			c.pending[m.key] = &pending{from: p.ID, until: now.Add(Patience)}
			return
		}
	}
	c.adopt(m.key, nil, now)
}

// adopt makes a breaker this replica's now: as it was handed over, or as its mirror is, or new.
func (c *Core) adopt(key breaker.Key, g *handed, now breaker.Instant) {
	h := &holding{fence: c.fenceAfter(key, now)}
	m := c.mirrors[key]
	delete(c.mirrors, key)
	var state *convert.State
	switch {
	case g != nil && (m == nil || g.state.Rank.Compare(m.State.Rank) >= 0):
		state = g.state
		if g.rightful {
			h.fence = 0
		}
	case m != nil:
		state, g = m.State, nil
	}
	if state != nil {
		c.load(key, h, state, g, now)
	} else {
		own, _ := c.o.Engine.Status(key, now)
		if s := c.SpecOf(key); s != nil && own.State == breaker.Closed {
			blank := breaker.Handover{Saved: breaker.Saved{Key: key, Config: s.Config, Since: own.Since, Sequence: own.Sequence, Generation: own.Generation}}
			blank.LastProbe = c.firstProbe()
			c.o.Engine.TakeOver(&blank, 0, now)
		}
		h.rank, h.adopted = convert.Rank{Epoch: c.Epoch(), Generation: own.Generation, State: own.State}, own.Generation
	}
	h.merged = g != nil
	c.holds[key] = h
	p := c.pending[key]
	delete(c.pending, key)
	if at := c.Find(key); at != nil && at.To == "" {
		at.waits.Store(false)
	}
	if p != nil {
		for _, i := range p.items {
			c.apply(i, now)
		}
	}
	c.o.Log.Debug("a breaker is here now", "breaker", key.String(), "known", state != nil, "handed_over", g != nil, "generation", h.rank.Generation, "no_permits_for", max(h.fence.Sub(now), 0))
	if state != nil {
		c.Takeovers++
		c.Tell(key, nil, now)
		c.changed(key)
	}
}

// handed is a breaker as another replica has handed it over.
type handed struct {
	state    *convert.State
	handover breaker.Handover
	rightful bool
}

// load has the engine go on from a state.
func (c *Core) load(key breaker.Key, h *holding, state *convert.State, g *handed, now breaker.Instant) {
	took := breaker.Handover{Saved: state.Saved, LastFailure: state.LastFailure}
	if g != nil {
		took = g.handover
		took.Saved = state.Saved
	}
	if s := c.SpecOf(key); s != nil && s.sum == state.ConfigSum {
		took.Config = s.Config
	}
	if g == nil {
		took.LastProbe = c.firstProbe()
	}
	c.o.Engine.Forsake(key, now)
	c.o.Engine.TakeOver(&took, 0, now)
	own, _ := c.o.Engine.Status(key, now)
	h.base = convert.TotalsOf(state).Minus(convert.TotalsOfStatus(&own))
	h.from = state.Rank
	h.rank = state.Rank
	h.rank.Epoch = c.Epoch()
	h.rank.Generation, h.rank.State, h.adopted = own.Generation, own.State, own.Generation
}

// firstProbe returns the number after which the ids of probes begin, where the ids that the replica before has given are not known. Each epoch
// has room for as many as a breaker can have probes in it.
func (c *Core) firstProbe() uint32 { return uint32(c.Epoch() << 16) }

// untouched reports whether the breaker has changed its state since it came.
func (h *holding) untouched() bool { return h.rank.Generation == h.adopted }

// give hands a breaker over, and mirrors it from now on.
func (c *Core) give(key breaker.Key, to string, now breaker.Instant) {
	h := c.holds[key]
	if p := c.pending[key]; p != nil { // it never came
		delete(c.pending, key)
		for _, i := range p.items {
			c.Forward(i, to, now)
		}
		return
	}
	if h == nil {
		return
	}
	state, known := c.State(key, now)
	c.o.Log.Debug("a breaker is handed over", "breaker", key.String(), "to", to)
	delete(c.holds, key)
	handover, had := c.o.Engine.HandOver(key, now)
	if !known || !had {
		return
	}
	c.mirrors[key] = &Mirror{State: state, from: c.o.Self.ID}
	c.giving[c.NewID()] = &giving{
		key: key, to: to, state: state, handover: handover,
		// The new owner may give permits at once if this replica could, by the view before.
		rightful: h.fence <= now && c.before != nil && c.before(key) == c.o.Self.ID,
	}
}

// retarget sends what is handed over to where it belongs now, and again where it may have got lost.
func (c *Core) retarget(now breaker.Instant) {
	for _, id := range SortedIDs(c.giving) {
		g := c.giving[id]
		at := c.Find(g.key)
		switch {
		case at == nil || at.To == "": // it is here again
			delete(c.giving, id)
			continue
		case at.To != g.to:
			g.to, g.sent = at.To, 0
		}
		if g.sent == 0 || now.Sub(g.sent) >= Again {
			g.sent = now
			c.SendTo(g.to, &peerspb.Message{Kind: &peerspb.Message_Handover{Handover: &peerspb.Handover{
				Id: id, View: roster.ViewOut(c.CurrentView()), State: convert.StateOut(g.state, now), Memory: convert.MemoryOut(&g.handover, now), Rightful: g.rightful,
			}}})
		}
	}
}

// Taken says that another replica has taken what was handed over with an id.
func (c *Core) Taken(id uint64) { delete(c.giving, id) }

// tookHandover takes a breaker from another replica.
func (c *Core) tookHandover(p *Peer, m *peerspb.Handover, now breaker.Instant) {
	c.learnView(m.GetView(), now)
	state, ok := convert.StateIn(m.GetState(), now)
	if !ok {
		return
	}
	key := state.Saved.Key
	g := &handed{state, convert.MemoryIn(m.GetMemory(), now), m.GetRightful() && m.GetView().GetEpoch() == c.Epoch()}
	at := c.Find(key)
	if at == nil || at.To != "" || c.InDoubt(now) {
		return // it is sent Again, by then one of us knows better
	}
	c.Send(p, &peerspb.Message{Kind: &peerspb.Message_Taken{Taken: &peerspb.Taken{Id: m.GetId()}}})
	h := c.holds[key]
	switch {
	case h == nil:
		c.adopt(key, g, now)
	case state.Rank.Compare(h.from) == 0 && h.untouched() && !h.merged:
		c.merge(key, h, g, now)
	default:
		c.offered(key, state, now)
		if s, known := c.State(key, now); known { // it took no state from others as long as it had the breaker
			c.sendStates(p, []*peerspb.State{convert.StateOut(s, now)})
		}
	}
}

// merge adds what was handed over late to what was counted since. The probes of a half-open breaker are not added: this replica
// has given permits of its own, after the permits of the other one had run out.
func (c *Core) merge(key breaker.Key, h *holding, g *handed, now breaker.Instant) {
	h.merged = true
	if g.state.Saved.State != breaker.Closed {
		return
	}
	took := g.handover
	took.Saved = g.state.Saved
	if s := c.SpecOf(key); s != nil && s.sum == g.state.ConfigSum {
		took.Config = s.Config
	}
	c.o.Engine.TakeOver(&took, 0, now)
	if g.rightful {
		h.fence = 0
	}
}

// offered compares a state that another replica has with the one here, and takes the greater one.
func (c *Core) offered(key breaker.Key, s *convert.State, now breaker.Instant) {
	h := c.holds[key]
	switch {
	case c.InDoubt(now):
		return // transitions of this replica may not count yet
	case h == nil:
		if m := c.mirrors[key]; m == nil || s.Rank.Compare(m.State.Rank) > 0 {
			c.mirrors[key] = &Mirror{State: s}
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
	s.Saved.Sequence = max(s.Saved.Sequence, c.sequence(key, now))
	c.load(key, h, s, nil, now)
	h.from = h.rank
	if of := c.SpecOf(key); of != nil {
		h.fence = max(h.fence, now.Add(of.Lease)) // probes of the state before may be in flight
	}
	c.Tell(key, nil, now)
	c.changed(key)
}

func (c *Core) sequence(key breaker.Key, now breaker.Instant) uint64 {
	s, _ := c.o.Engine.Status(key, now)
	return s.Sequence
}

// overdue goes on without what others do not say.
func (c *Core) overdue(now breaker.Instant) {
	var late []breaker.Key
	for key, p := range c.pending {
		from := c.Known(p.from)
		if now >= p.until || from == nil || !from.Reached && !from.Leaving {
			late = append(late, key)
		}
	}
	slices.SortFunc(late, compareKeys)
	for _, key := range late {
		c.adopt(key, nil, now)
	}
}
