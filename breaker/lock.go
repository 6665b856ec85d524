package breaker

// cells yields each cell of the breaker; the caller holds the lock. Where there
// are stripes, the first cell has calls in flight that it admitted before.
func (b *Breaker) cells(yield func(*cell) bool) {
	s := b.striped.Load()
	if !yield(&b.cell) || s == nil {
		return
	}
	for i := range *s {
		if !yield(&(*s)[i].cell) {
			return
		}
	}
}

// lock takes the lock, closes the cells, and brings the breaker to now: what was
// counted without the lock, and what is due by time alone.
func (b *Breaker) lock(now Instant) {
	b.mu.Lock()
	var tally uint32
	for c := range b.cells {
		tally += c.take()
	}
	switch {
	case tally == 0:
	case b.state == Closed:
		b.addLocked(ending{outcome: Success}, uint64(tally))
		b.closed.window.successes(tally)
	default:
		b.counts.rejected += uint64(tally)
	}
	b.advanceLocked(now)
}

// advanceLocked does what is due by time alone.
func (b *Breaker) advanceLocked(now Instant) {
	if o := b.pastLocked().override; o != nil && now >= o.Until {
		b.expireLocked(now)
	}
	switch b.state {
	case Closed:
		b.closed.window.advance(now)
		if b.closed.ramping && now >= b.past.ramp.until {
			b.closed.ramping = false
		}
		b.closed.settleDown(now)
		b.flyLocked(now)
	case Open:
		if b.timedLocked() && now >= b.past.open.until {
			b.moveLocked(Edge{Open, HalfOpen, WaitOver}, now)
		}
	case HalfOpen:
		n := b.past.halfOpen.expire(now)
		b.past.leasesExpired += n
		b.strays += uint32(n)
		if now >= b.past.halfOpen.until {
			b.moveLocked(Edge{HalfOpen, Open, HalfOpenExpired}, now)
		}
	}
}

// flyLocked finds the calls in flight that have become slow.
func (b *Breaker) flyLocked(now Instant) {
	f := &b.flight
	if now >= f.end {
		var held uint32
		for c := range b.cells {
			held += c.held
		}
		if f.turn(b.epoch, held, Instant(b.spec.SlowCallDurationThreshold), now) {
			for c := range b.cells {
				c.held = 0
			}
			b.turnEpochLocked()
			b.age = min(b.age+1, epochMask)
		}
	}
	if n := f.pass(now); n > 0 {
		b.closed.window.early(n)
		b.judgeLocked(now)
	}
}

func (b *Breaker) turnEpochLocked() { b.epoch = (b.epoch + 1) & epochMask }

// unlock gives the lock back and has transitions delivered. The caller holds no
// other lock.
func (b *Breaker) unlock() {
	b.release()
	b.engine.deliver()
}

// release opens the cells as the state allows, and gives the lock back.
func (b *Breaker) release() {
	if b.collisions.Load() >= manyCollisions && b.striped.Load() == nil {
		b.striped.Store(newStripes(b))
	}
	b.restLocked()
	phase, end := b.phaseLocked()
	slow := Instant(b.spec.SlowCallDurationThreshold)
	if slow == 0 {
		slow = never
	}
	striped := b.striped.Load() != nil
	for c := range b.cells {
		if striped && c == &b.cell { // calls are to look for another
			c.open(locked, b.epoch, end, slow)
			continue
		}
		c.open(phase, b.epoch, end, slow)
	}
	b.mu.Unlock()
}

// phaseLocked is what goes without the lock, and until when.
func (b *Breaker) phaseLocked() (phase uint32, end Instant) {
	switch {
	case b.state == Open && b.spec.Mode == MetricsOnly:
		return locked, 0
	case b.state == Open && b.timedLocked():
		return rejecting, b.past.open.until
	case b.state == Open:
		return locked, 0
	case b.state == Closed && b.watched && b.closed.calm(&b.spec.Config):
		end = min(b.closed.window.end(), b.flight.end, b.flight.due())
		if o := b.pastLocked().override; o != nil {
			end = min(end, o.Until)
		}
		return calm, end
	default:
		return locked, 0
	}
}

// restLocked says when time will change the breaker, at the earliest. For calls in
// flight that is when they may have become slow. While there are none, the next
// one has to come by the lock, so that somebody watches it.
func (b *Breaker) restLocked() {
	due, p := never, b.pastLocked()
	switch {
	case p.override != nil:
		due = p.override.Until
	case b.state == Open && b.timedLocked():
		due = p.open.until
	case b.state == HalfOpen:
		due = p.halfOpen.until
	case b.state == Closed && b.spec.TripsOnSlowCalls() && b.inFlightLocked() > uint64(b.strays)+uint64(b.untimed):
		due = min(b.flight.due(), b.flight.end+Instant(b.spec.SlowCallDurationThreshold))
	}
	b.watched = due != never || b.state == Closed && !b.spec.TripsOnSlowCalls()
	b.due = due
	if memorable := b.state != Closed || p.override != nil || p.open.openings > 0; memorable != b.memorable.Load() {
		b.memorable.Store(memorable)
	}
	if due == never || b.retired {
		return
	}
	if !b.listed {
		b.listed = true
		b.engine.list(b)
	}
	b.engine.expect(due)
}

// moveLocked changes the state by a rule or a policy.
func (b *Breaker) moveLocked(edge Edge, now Instant) { b.shiftLocked(&Transition{Edge: edge, At: now}) }

// shiftLocked changes the state; it is the only place that does. Who did it by
// hand is in t already.
func (b *Breaker) shiftLocked(t *Transition) {
	edge, now := t.Edge, t.At
	t.Key, t.Since, t.Window, t.Mode = b.key(), b.since, b.windowLocked(), b.spec.Mode
	b.leaveLocked(now)
	b.generation++
	b.sequence++
	t.Generation, t.Sequence = b.generation, b.sequence
	b.state, b.since = edge.To, now
	if b.past == nil {
		b.past = &past{}
	}
	switch edge.To {
	case Closed:
		b.enterClosedLocked(now)
		if edge.Reason == ProbesSucceeded && b.spec.RampDuration > 0 {
			b.closed.ramping = true
			b.past.ramp.enter(now, now.Add(b.spec.RampDuration))
		}
	case Open:
		b.enterOpenLocked(t, now)
	case HalfOpen:
		b.past.halfOpen.enter(now.Add(b.spec.MaxWaitDurationInHalfOpenState))
	}
	told := *t
	told.Cause = b.past.record(t)
	if !b.retired {
		b.engine.push(told)
	}
}

// leaveLocked ends a generation: nothing waits for its calls any more.
func (b *Breaker) leaveLocked(now Instant) {
	b.strays = uint32(b.inFlightLocked())
	b.untimed = 0
	for c := range b.cells {
		c.held = 0
	}
	b.flight.enter(0, now)
	b.turnEpochLocked()
	b.age = 0
	if b.state == Closed && b.past != nil {
		b.past.open.openings = b.past.open.forget(&b.spec.Config, now.Sub(b.since))
	}
}

func (b *Breaker) enterClosedLocked(now Instant) {
	b.closed.enter(&b.spec.Config, now)
	b.flight.enter(Instant(b.spec.SlowCallDurationThreshold), now)
}

func (b *Breaker) enterOpenLocked(t *Transition, now Instant) {
	b.past.open.until = never
	if !t.Edge.Reason.ByRule() {
		return
	}
	asked := t.Edge.Reason != HalfOpenExpired || b.past.halfOpen.asked()
	t.Wait = b.past.open.begin(b.key(), &b.spec.Config, b.sequence, asked)
	t.Openings = b.past.open.openings
	b.past.open.until = now.Add(t.Wait)
}

// configure takes on a spec and tells whether that restarted the breaker.
func (b *Breaker) configure(t *terms, now Instant) bool {
	b.mu.Lock()
	now = max(now, b.since) // calls went on since the caller read the clock
	b.mu.Unlock()
	b.lock(now)
	defer b.release()
	old := b.spec
	b.spec = t
	if old == t || old.Config == t.Config {
		return false
	}
	if b.past != nil {
		b.past.open.openings = 0
	}
	switch {
	case b.pastLocked().override != nil: // people stay in charge; what comes after them is new
		b.renewLocked(now)
	case t.Mode == ForcedOpen:
		b.moveLocked(Edge{b.state, Open, PolicyForced}, now)
	case b.state != Closed:
		b.moveLocked(Edge{b.state, Closed, PolicyChanged}, now)
	default:
		b.renewLocked(now)
		b.since = now
	}
	return true
}

// renewLocked begins a generation in the same state.
func (b *Breaker) renewLocked(now Instant) {
	since := b.since
	b.leaveLocked(now)
	b.generation++
	b.since = since
	if b.state == Closed {
		b.enterClosedLocked(now)
	}
}

func (b *Breaker) retire() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.retired = true
}
