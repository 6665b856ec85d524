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
}

// begin makes b a breaker of e.
func (b *Breaker) begin(key Key, t *terms, e *shared, now Instant) {
	b.upstream, b.engine, b.spec, b.generation, b.since = key.Upstream, e, t, 1, now
	if key.Route != "" || key.Node != "" {
		b.rest = &rest{key.Route, key.Node}
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

// rest is what few keys have besides the upstream.
type rest struct{ route, node string }

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

// Permit is the right to make one call. It is a lease: resolve it with
// [Permit.Done] whatever becomes of the call. The zero Permit does nothing. It has one
// owner, who must not copy it.
type Permit struct {
	cell  *cell // of its breaker; nil: there is nothing to resolve
	began Instant
	mark  uint64 // the tag of the cell when it was given, and below it what follows
}

// What the lower half of a permit's mark says. From firstProbe on it is the id of a
// slot in half-open.
const (
	inCell    = iota // the cell counts the call as in flight
	inBreaker        // the breaker does
	unjudged         // the outcome changes no state
	firstProbe
)

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
	d := Decision{Admitted: true, State: b.state}
	mark := uint64(byLock)<<phaseShift | uint64(b.epoch)<<tagShift
	switch b.state {
	case Closed:
		d.Admitted = !b.closed.ramping || b.past.ramp.admit(now)
	case HalfOpen:
		probe := b.past.halfOpen.admit(&b.spec.Config, now.Add(b.spec.lease))
		mark |= uint64(probe)
		d.Admitted = probe != 0
	case Open:
		d.Admitted = false
		if b.timedLocked() {
			d.RetryAfter = b.past.open.until.Sub(now)
		}
	}
	switch {
	case d.Admitted && b.state == Closed && c.held < maxHeld:
		c.held++
		mark = calm<<phaseShift | uint64(b.epoch)<<tagShift // it may be resolved without the lock
	case d.Admitted && b.state == Closed:
		b.flight.now++
		mark |= inBreaker
	case d.Admitted:
	case b.spec.Mode == MetricsOnly && b.past.override == nil:
		b.past.wouldReject++
		b.strays++
		mark |= unjudged
		d.Admitted, d.RetryAfter = true, 0
	default:
		b.counts.rejected++
	}
	var p Permit
	if d.Admitted {
		p = Permit{cell: c, began: now, mark: mark}
	}
	b.unlock()
	return p, d
}

// Done resolves the permit: what became of the call, known now. Only the first
// Done of a permit does anything. The outcome is always counted; it changes
// the state only if the breaker is still in the generation that admitted the
// call, and, for a probe, if its lease has not run out. The call was slow if now
// is as far from when it began as the threshold says.
func (p *Permit) Done(o Outcome, now Instant) {
	c := p.cell
	if c == nil {
		return
	}
	p.cell = nil
	if o == Success {
		w := c.word.Load()
		if (w^p.mark)>>tagShift == 0 && w&tallyMask != tallyMask &&
			now < Instant(c.end.Load()) && now-p.began < Instant(c.slow.Load()) {
			if c.word.CompareAndSwap(w, w-oneInFlight+1) {
				return
			}
			c.breaker.collided(c, w)
		}
	}
	c.breaker.resolve(c, p, o, now)
}

// collided counts the times that a cell which was at w went on to be used by
// somebody else.
func (b *Breaker) collided(c *cell, w uint64) {
	if now := c.word.Load(); now != w && now>>tagShift == w>>tagShift && b.collisions.Load() < manyCollisions {
		b.collisions.Add(1)
	}
}

func (b *Breaker) resolve(c *cell, p *Permit, o Outcome, now Instant) {
	b.lock(now)
	slow := b.spec.SlowCallDurationThreshold > 0 && now.Sub(p.began) >= b.spec.SlowCallDurationThreshold
	b.counts.add(o, slow, 1)
	if o.Failed() {
		b.lastFailure = max(b.lastFailure, now)
	}
	epoch, low := uint32(p.mark>>tagShift)&epochMask, uint32(p.mark)
	current := low != unjudged && (b.epoch-epoch)&epochMask <= b.age
	kind := call{failed: o.Failed(), slow: slow}
	switch {
	case !current:
		b.strays--
	case b.state == HalfOpen:
		b.landProbeLocked(low, o, kind, now)
	default:
		if low == inBreaker {
			c = nil
		}
		b.landLocked(c, epoch, o, kind, now)
	}
	b.unlock()
}

// landProbeLocked takes the outcome of a probe of this half-open phase. One whose
// lease ran out says nothing any more; an ignored one gives its slot back and says nothing.
func (b *Breaker) landProbeLocked(probe uint32, o Outcome, c call, now Instant) {
	if !b.past.halfOpen.land(probe) {
		b.strays--
		return
	}
	if o == Ignored {
		return
	}
	b.judgeProbeLocked(c, now)
}

// judgeProbeLocked takes what became of a probe, and ends half-open if that is enough.
func (b *Breaker) judgeProbeLocked(c call, now Instant) {
	if to, why, ok := b.past.halfOpen.judge(&b.spec.Config, c); ok {
		b.moveLocked(Edge{HalfOpen, to, why}, now)
	}
}

// landLocked takes the outcome of a call of this closed phase.
func (b *Breaker) landLocked(c *cell, epoch uint32, o Outcome, kind call, now Instant) {
	passed := false
	switch {
	case epoch != b.epoch:
		passed = b.flight.land(epoch)
	case c != nil:
		c.held--
	default:
		b.flight.now--
	}
	w := &b.closed.window
	switch {
	case passed && o == Ignored:
		w.settle(nil)
	case passed:
		w.settle(&kind)
	case o != Ignored:
		w.add(kind, 1)
	}
	switch {
	case o == Ignored:
		return
	case kind.failed:
		b.closed.failed(now)
	default:
		b.closed.run = 0
	}
	b.judgeLocked(now)
}

// judgeLocked trips a closed breaker if its rules say so and are in charge.
func (b *Breaker) judgeLocked(now Instant) {
	if b.spec.Mode == Disabled || b.pastLocked().override != nil {
		return
	}
	if reason, trips := b.closed.judge(&b.spec.Config); trips {
		b.moveLocked(Edge{Closed, Open, reason}, now)
	}
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
		Openings: p.open.openings, Override: p.override, Trip: p.trip, InFlight: b.inFlightLocked(),
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
	n := uint64(b.strays) + b.flight.total()
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

// tally is the totals that every breaker has.
type tally struct{ rejected, successes, failures, timeouts, slow, ignored uint64 }

// add counts n calls that have ended.
func (t *tally) add(o Outcome, slow bool, n uint64) {
	switch o {
	case Success:
		t.successes += n
	case Timeout:
		t.timeouts += n
		t.failures += n
	case Failure:
		t.failures += n
	case Ignored:
		t.ignored += n
		return
	}
	if slow {
		t.slow += n
	}
}

// countsLocked returns the totals, without the requests that are in flight.
func (b *Breaker) countsLocked() Counts {
	t, p := &b.counts, b.pastLocked()
	return Counts{
		Requests: t.rejected + t.successes + t.failures + t.ignored,
		Rejected: t.rejected, WouldReject: p.wouldReject, Successes: t.successes, Failures: t.failures,
		Timeouts: t.timeouts, Slow: t.slow, Ignored: t.ignored, LeasesExpired: p.leasesExpired,
	}
}
