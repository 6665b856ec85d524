package breaker

// Saved is what has to outlive a process of one breaker that is not plainly closed.
type Saved struct {
	Key        Key
	Config     Config // the semantics it had; other ones start anew
	State      State
	Since      Instant
	Until      Instant // open, half-open: when the state ends by itself; 0: it does not
	Openings   uint32  // see Config.BackoffMultiplier
	Sequence   uint64  // so that it goes on, without gaps
	Generation uint64
	Override   *Override
	Cause      *Transition // of its episode; nil: as [Saved.Trip], if that came from closed, else not known
	Trip       *Transition // the last into open by a rule
}

// Export returns what [Engine.Restore] needs to go on where this engine is at now.
// It does not look closely at breakers that have nothing to remember.
func (e *Engine) Export(now Instant) []Saved {
	var all []Saved
	for _, g := range e.table.Load().list {
		g.each(func(b *Breaker) {
			if b.memorable.Load() {
				all = b.appendSaved(all, now)
			}
		})
	}
	e.shared.deliver()
	return all
}

func (b *Breaker) appendSaved(all []Saved, now Instant) []Saved {
	b.lock(now)
	defer b.release()
	p := b.pastLocked()
	s := Saved{
		Key: b.key(), Config: b.spec.Config, State: b.state, Since: b.since, Openings: p.open.openings,
		Sequence: b.sequence, Generation: b.generation, Override: p.override,
	}
	if e := p.episode; e != nil {
		s.Trip = e.Trip
		if e.Cause != e.Trip {
			s.Cause = e.Cause
		}
	}
	switch {
	case b.state == Closed && p.override == nil && p.open.forget(&b.spec.Config, now.Sub(b.since)) == 0:
		return all
	case b.state == Closed:
	case b.state == HalfOpen:
		s.Until = p.halfOpen.until
	case b.timedLocked():
		s.Until = p.open.until
	}
	return append(all, s)
}

// Restore takes up what another engine has exported, with its instants on this
// engine's clock, and returns the breakers that it is for. Breakers that do not
// exist any more, whose semantics have changed, or that have changed their state
// already are left alone; but what a person did is kept as long as there is such a
// breaker. What has ended since then has: an open breaker whose wait is over is
// half-open. Probes that were in flight are not waited for.
func (e *Engine) Restore(saved []Saved, now Instant) (restored []Key) {
	for i := range saved {
		s := &saved[i]
		b := e.Node(s.Key, s.Key.Node, now)
		if b != nil && b.restore(s, now) {
			restored = append(restored, b.key())
		}
	}
	e.shared.deliver()
	return restored
}

func (b *Breaker) restore(s *Saved, now Instant) bool {
	b.lock(now)
	defer b.release()
	if b.sequence > 0 && (b.past.override != nil || b.spec.Mode != ForcedOpen) {
		return false
	}
	o := s.Override
	if o != nil && o.Until <= now {
		o = nil
	}
	same := b.spec.Config == s.Config
	if !same && o == nil {
		return false
	}
	if b.past == nil {
		b.past = &past{}
	}
	b.sequence, b.generation = max(b.sequence, s.Sequence), max(b.generation, s.Generation)
	b.past.episode, b.past.override = s.episode(), o
	if same {
		b.past.open.openings = min(s.Openings, maxOpenings)
	}
	t := &Transition{Edge: Edge{b.state, s.State, Restored}, At: now}
	switch {
	case o != nil:
		t.Edge.To, t.By, t.Note, t.Until = o.State, o.By, o.Note, o.Until
	case b.spec.Mode == ForcedOpen: // which it is already
		t.Edge.To = b.state
	case s.Override != nil: // it ended while nobody was there
		t.Edge.To = Closed
		if s.Override.State == Open && b.spec.Mode != Disabled {
			t.Edge.To = HalfOpen
		}
	}
	if t.Edge.To != b.state || o != nil {
		b.shiftLocked(t)
	}
	b.takeUpLocked(s, now)
	return true
}

// episode is what was remembered of it.
func (s *Saved) episode() *Episode {
	cause := s.Cause
	if cause == nil && s.Trip != nil && s.Trip.Edge.From == Closed {
		cause = s.Trip
	}
	if cause == nil && s.Trip == nil {
		return nil
	}
	return &Episode{Cause: cause, Trip: s.Trip}
}

// takeUpLocked sets the times of a state that was entered just now to those that it
// had. No wait becomes longer than a new one could be.
func (b *Breaker) takeUpLocked(s *Saved, now Instant) {
	if b.state != s.State {
		return
	}
	b.since = min(s.Since, now)
	switch {
	case b.past.override != nil:
	case b.state == Open && b.spec.Mode != ForcedOpen:
		b.past.open.until = min(s.Until, now.Add(2*max(b.spec.BackoffMax, b.spec.WaitDurationInOpenState)))
	case b.state == HalfOpen:
		b.past.halfOpen.until = min(s.Until, b.past.halfOpen.until)
	}
	b.advanceLocked(now)
}
