package breaker

// appendSaved appends what should outlive the process, or the policy, if there is
// anything.
func (b *Breaker) appendSaved(all []Saved, now Instant) []Saved {
	b.lock(now)
	defer b.release()
	p := b.pastLocked()
	if b.state == Closed && p.override == nil && p.open.remembered(&b.params.Config, now.Sub(b.since)) == 0 {
		return all
	}
	return append(all, b.savedLocked())
}

// savedLocked returns the state of the breaker, whatever it is.
func (b *Breaker) savedLocked() Saved {
	p := b.pastLocked()
	s := Saved{
		Key: b.key(), Config: b.params.Config, State: b.state, Since: b.since, Openings: p.open.openings,
		Sequence: b.sequence, Generation: b.generation, Override: p.override,
	}
	if e := p.episode; e != nil {
		s.Trip = e.Trip
		if e.Cause != e.Trip {
			s.Cause = e.Cause
		}
	}
	switch {
	case b.state == HalfOpen:
		s.Until, s.Lease = p.halfOpen.until, b.params.lease
	case b.waitsLocked():
		s.Until = p.open.until
	}
	return s
}

// appendLast is appendSaved for an engine that has come to its end: half-open is saved as
// open until the leases of its probes have run out.
func (b *Breaker) appendLast(all []Saved, now Instant) []Saved {
	all = b.appendSaved(all, now)
	if n := len(all); n > 0 && all[n-1].Key == b.key() && all[n-1].State == HalfOpen {
		s := &all[n-1]
		s.State, s.Since, s.Until, s.Lease = Open, now, b.probesEnd(now), 0
	}
	return all
}

// probesEnd returns when the last lease of a probe in flight runs out; now, if there is
// no such probe.
func (b *Breaker) probesEnd(now Instant) Instant {
	b.mu.Lock()
	defer b.mu.Unlock()
	end := now
	for _, s := range b.past.halfOpen.slots {
		end = max(end, s.deadline)
	}
	return end
}

// restore goes on from what was saved, and reports whether it did; see [Engine.Restore].
func (b *Breaker) restore(s *Saved, earliest, now Instant) bool {
	b.lock(now)
	defer b.release()
	if b.key() != s.Key || b.sequence > 0 && (b.pastLocked().override != nil || b.params.Mode != ForcedOpen) {
		return false
	}
	o := s.Override
	switch {
	case o == nil:
	case o.Until <= now:
		o = nil
	case o.State == Open && o.Until < earliest: // half-open comes after it
		longer := *o
		longer.Until, o = earliest, &longer
	}
	same := b.params.Config == s.Config
	if !same && o == nil {
		return false
	}
	p := b.ownPastLocked()
	b.sequence, b.generation = max(b.sequence, s.Sequence), max(b.generation, s.Generation)
	p.override = o
	if e := s.episode(); e != nil {
		p.episode = e
	}
	if same {
		p.open.openings = min(s.Openings, maxOpenings)
	}
	t := &Transition{Edge: Edge{To: b.restoredLocked(s), Reason: Restored}, At: now}
	if o != nil {
		t.Edge.To, t.By, t.Note, t.Until = o.State, o.By, o.Note, o.Until
	}
	if t.Edge.To != b.state || o != nil {
		b.becomeLocked(t)
	}
	b.resumeLocked(s, earliest, now)
	return true
}

// restoredLocked returns the state in which a breaker goes on that no operator holds.
// It does not go on in half-open, whose probes are gone.
func (b *Breaker) restoredLocked(s *Saved) State {
	switch {
	case b.params.Mode == ForcedOpen: // the policy has opened it already
		return b.state
	case s.Override == nil && s.State == Closed:
		return Closed
	case s.Override == nil:
		return Open
	case s.Override.State == Open && b.params.Mode != Disabled && !b.spare(): // its end was missed
		return Open
	default:
		return Closed
	}
}

// episode returns the episode that was saved; nil: none is known.
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

// boundedLocked returns the end of a wait, which is no longer than a new one could be.
func (b *Breaker) boundedLocked(end, now Instant) Instant {
	return min(end, now.Add(2*max(b.params.BackoffMax, b.params.WaitDurationInOpenState)))
}

// resumeLocked gives a state that was restored just now the times that it had.
func (b *Breaker) resumeLocked(s *Saved, earliest, now Instant) {
	if b.state == s.State {
		b.since = min(s.Since, now)
	}
	if b.waitsLocked() {
		end := b.boundedLocked(s.Until, now)
		switch {
		case s.Override != nil:
			end = now
		case s.State == HalfOpen && s.Lease > 0:
			end = now.Add(min(s.Lease, MaxDuration))
		case s.State == HalfOpen:
			end = now.Add(b.params.lease)
		}
		b.past.open.until = max(end, earliest)
	}
	b.elapseLocked(now)
}
