package breaker

import (
	"sync"
	"sync/atomic"
	"time"
)

// Breaker is one state machine. Get it from [Engine.Breaker].
//
// Calls that change nothing go through its cells without the lock. Everything else
// takes the lock, which closes the cells, brings the breaker to the present, does
// its work, and opens the cells as the state allows.
type Breaker struct {
	// What a call of a closed breaker needs, also to find it, is in one cache line.
	cell     cell
	upstream string
	rest     *rest // of its name; nil: nothing

	striped    atomic.Pointer[stripes] // where there are any, nothing goes by the cell
	collisions atomic.Uint32
	memorable  atomic.Bool // there is something that should outlive the process
	engine     *shared

	mu          sync.Mutex
	retired     bool    // no longer of the engine: its transitions are nobody's business
	listed      bool    // among the engine's restless breakers
	watched     bool    // calls in flight that become slow will be noticed
	untimed     uint32  // calls in flight of this closed state that cannot become slow
	due         Instant // when time alone will change the breaker, or never
	state       State
	epoch       uint32 // of the cells; its last epochBits bits
	age         uint32 // how many epochs ago the generation began
	strays      uint32 // calls in flight that no state waits for any more
	generation  uint64 // of the state: an outcome counts only in the generation that admitted its call
	sequence    uint64
	since       Instant
	lastFailure Instant
	spec        *terms
	past        *past // nil before the first time that it is not closed
	closed      closed
	flight      flight
	counts      tally
}

// terms are what a policy says of breakers, shared by all of which it says the same.
type terms struct {
	Config
	lease, timeout time.Duration
	gone           ClientGone
}

// begin makes b a breaker of e.
func (b *Breaker) begin(key Key, t *terms, e *shared, now Instant) {
	b.upstream, b.engine, b.spec, b.generation, b.since = key.Upstream, e, t, 1, now
	if key.Route != "" || key.Node != "" {
		b.rest = &rest{route: key.Route, node: key.Node}
	}
	b.due = never
	b.cell.breaker = b
	b.mu.Lock()
	b.enterClosedLocked(now)
	if t.Mode == ForcedOpen {
		b.moveLocked(Edge{Closed, Open, PolicyForced}, now)
	}
	b.release()
}

// key names the breaker.
func (b *Breaker) key() Key {
	if b.rest == nil {
		return Key{Upstream: b.upstream}
	}
	return Key{Upstream: b.upstream, Route: b.rest.route, Node: b.rest.node}
}

// rest is what few breakers have besides the upstream: the rest of the key, and whose proxy it is of, as far as that is known.
type rest struct{ route, node, owner string }

// named tells whether the breaker is that of an upstream's route.
func (b *Breaker) named(upstream, route string) bool {
	if b.rest == nil {
		return route == "" && b.upstream == upstream
	}
	return b.rest.route == route && b.upstream == upstream
}

// overridden returns what a person did to the breaker.
func (b *Breaker) overridden() *Override {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pastLocked().override
}

// Acquire asks for a permit for one call that begins now. When the decision is
// not to admit, the permit is zero and needs no Done.
func (b *Breaker) Acquire(now Instant) (Permit, Decision) { return b.acquire(&b.cell, now) }

// acquire asks a cell first.
func (b *Breaker) acquire(c *cell, now Instant) (Permit, Decision) {
	w := c.word.Load()
	if end := Instant(c.end.Load()); now < end {
		switch w >> phaseShift {
		case calm:
			if w&inFlightMask != inFlightMask && c.word.CompareAndSwap(w, w+oneInFlight) {
				return Permit{cell: c, began: now, mark: w &^ lowMask}, Decision{Admitted: true}
			}
		case rejecting:
			if w&tallyMask != tallyMask && c.word.CompareAndSwap(w, w+1) {
				return Permit{}, Decision{State: Open, RetryAfter: end.Sub(now)}
			}
		}
	}
	if s := b.striped.Load(); s != nil && c == &b.cell {
		return b.acquire(s.pick(), now)
	}
	return b.acquireSlowly(c, w, now)
}

// acquireSlowly is acquire for a cell that was at w and did not take the call.
func (b *Breaker) acquireSlowly(c *cell, w uint64, now Instant) (Permit, Decision) {
	b.collided(c, w)
	b.lock(now)
	p, d := b.admitLocked(c, inCell, now)
	b.unlock()
	return p, d
}

// AcquireUploading is [Breaker.Acquire] for a call whose request has not ended: the time
// of the service has not begun, so the call never counts as slow while it is in flight.
// Resolve its permit with [Permit.Settle], which says how long the service took.
func (b *Breaker) AcquireUploading(now Instant) (Permit, Decision) {
	b.lock(now)
	p, d := b.admitLocked(&b.cell, untimed, now)
	b.unlock()
	return p, d
}

// admitLocked decides about a call, which is counted by the cell if how is inCell and
// there is room, and else as how says.
func (b *Breaker) admitLocked(c *cell, how uint64, now Instant) (Permit, Decision) {
	d := Decision{Admitted: true, State: b.state}
	mark := uint64(byLock)<<phaseShift | uint64(b.epoch)<<tagShift
	switch b.state {
	case Closed:
		d.Admitted = !b.closed.ramping || b.past.ramp.admit(now)
	case HalfOpen:
		probe := b.past.halfOpen.admit(&b.spec.Config, now, now.Add(b.spec.lease))
		mark |= uint64(probe)
		d.Admitted = probe != 0
	case Open:
		d.Admitted = false
		if b.timedLocked() {
			d.RetryAfter = b.past.open.until.Sub(now)
		}
	}
	switch {
	case d.Admitted && b.state == Closed && how == untimed:
		b.untimed++
		mark |= untimed
	case d.Admitted && b.state == Closed && c.held < maxHeld:
		c.held++
		mark = calm<<phaseShift | uint64(b.epoch)<<tagShift // it may be resolved without the lock
	case d.Admitted && b.state == Closed:
		b.flight.now++
		mark |= inBreaker
	case d.Admitted:
	case b.passesLocked():
		mark |= unjudged
		d.Admitted, d.RetryAfter = true, 0
	}
	if !d.Admitted {
		return Permit{}, d
	}
	return Permit{cell: c, began: now, mark: mark}, d
}

// watchedLocked tells whether the state is only watched, and no call is rejected for it.
func (b *Breaker) watchedLocked() bool { return b.spec.Mode.watchOnly(b.pastLocked().override != nil) }

// passesLocked counts a call that the state does not let through, and tells whether it passes
// all the same, as a call that nobody judges.
func (b *Breaker) passesLocked() bool {
	if !b.watchedLocked() {
		b.counts.rejected++
		return false
	}
	b.past.wouldReject++
	b.strays++
	return true
}

// collided counts the times that a cell which was at w went on to be used by
// somebody else.
func (b *Breaker) collided(c *cell, w uint64) {
	if now := c.word.Load(); now != w && now>>tagShift == w>>tagShift && b.collisions.Load() < manyCollisions {
		b.collisions.Add(1)
	}
}

// judgeLocked trips a closed breaker if its rules say so and are in charge.
func (b *Breaker) judgeLocked(now Instant) {
	if b.spec.Mode == Disabled || b.pastLocked().override != nil {
		return
	}
	reason, trips := b.closed.judge(&b.spec.Config)
	if !trips {
		b.closed.judged()
		return
	}
	if reason == ConsecutiveFailures {
		b.closed.run = b.closed.tripping(&b.spec.Config)
	}
	b.moveLocked(Edge{Closed, Open, reason}, now)
}

// Status returns the breaker as it stands at now. Reading advances the window and
// makes the transitions that are due.
func (b *Breaker) Status(now Instant) Status {
	s := b.peek(now)
	b.engine.deliver()
	return s
}

// peek is Status for callers that hold a lock, and have transitions delivered when
// they have released it.
func (b *Breaker) peek(now Instant) Status {
	b.lock(now)
	defer b.release()
	return b.statusLocked(now)
}

func (b *Breaker) statusLocked(now Instant) Status {
	p := b.pastLocked()
	s := Status{
		Key: b.key(), Config: &b.spec.Config, State: b.state, Generation: b.generation, Sequence: b.sequence,
		Since: b.since, Window: b.windowLocked(), Counts: b.countsLocked(), LastFailure: b.lastFailure,
		SuccessLag: p.lag.successes, IgnoredLag: p.lag.ignored, Openings: p.open.openings, Override: p.override, Episode: p.episode, InFlight: b.inFlightLocked(),
	}
	s.Counts.Requests += s.InFlight
	switch b.state {
	case Closed:
		s.Admits = Whole
		if b.closed.ramping {
			s.Admits = p.ramp.share(now)
		}
		s.Openings = p.open.forget(&b.spec.Config, now.Sub(b.since))
	case HalfOpen:
		s.ProbesInFlight = uint32(len(p.halfOpen.slots))
	case Open:
		if b.timedLocked() {
			s.RetryAfter = p.open.until.Sub(now)
		}
	}
	return s
}

func (b *Breaker) inFlightLocked() uint64 {
	n := uint64(b.strays) + uint64(b.untimed) + b.flight.total()
	for c := range b.cells {
		n += uint64(c.held)
	}
	if b.state == HalfOpen {
		n += uint64(len(b.past.halfOpen.slots))
	}
	return n
}

func (b *Breaker) windowLocked() WindowCounts {
	switch b.state {
	case Closed:
		return b.closed.counts()
	case HalfOpen:
		return b.past.halfOpen.counts
	default:
		return WindowCounts{}
	}
}

// timedLocked tells whether time ends the state, which is open.
func (b *Breaker) timedLocked() bool { return b.past.override == nil && b.spec.Mode != ForcedOpen }
