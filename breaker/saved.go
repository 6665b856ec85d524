package breaker

import "time"

// Saved is what has to outlive a process, or a policy, of one breaker that is not plainly closed.
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
	// Lease, in half-open, is how long a probe may go on that was given a permit; 0: as the
	// policy says that is in force then.
	Lease time.Duration
}

// Ends returns when there is nothing left to keep of it: what a person did is over, or the state
// has ended. 0: at once.
func (s *Saved) Ends() Instant {
	switch {
	case s.Override != nil:
		return s.Override.Until
	case s.State == Closed:
		return 0
	default:
		return s.Until
	}
}

// Export returns what [Engine.Restore] needs to go on where this engine is at now, what it
// keeps of breakers that were removed included. It does not look closely at breakers that have
// nothing to remember.
func (e *Engine) Export(now Instant) []Saved { return e.export((*Breaker).appendSaved, now) }

// ExportLast is [Engine.Export] of an engine that gives no more permits and is told of no more
// outcomes. What was half-open is then open for as long as probes are in flight, which is mostly not at all.
func (e *Engine) ExportLast(now Instant) []Saved { return e.export((*Breaker).appendLast, now) }

func (e *Engine) export(add func(b *Breaker, all []Saved, now Instant) []Saved, now Instant) []Saved {
	var all []Saved
	for _, g := range e.table.Load().list {
		g.each(func(b *Breaker) {
			if b.memorable.Load() {
				all = add(b, all, now)
			}
		})
	}
	e.shared.deliver()
	return append(all, e.kept.list(now)...)
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
		s.Until, s.Lease = p.halfOpen.until, b.spec.lease
	case b.timedLocked():
		s.Until = p.open.until
	}
	return append(all, s)
}

func (b *Breaker) appendLast(all []Saved, now Instant) []Saved {
	all = b.appendSaved(all, now)
	if n := len(all); n > 0 && all[n-1].Key == b.key() && all[n-1].State == HalfOpen {
		s := &all[n-1]
		s.State, s.Since, s.Until, s.Lease = Open, now, b.probesEnd(now), 0
	}
	return all
}

// probesEnd is when the last lease of a probe in flight runs out; now, if there is none.
func (b *Breaker) probesEnd(now Instant) Instant {
	b.mu.Lock()
	defer b.mu.Unlock()
	end := now
	for _, s := range b.past.halfOpen.slots {
		end = max(end, s.deadline)
	}
	return end
}

// Restore takes up what another engine has exported, with its instants on this
// engine's clock, and returns the breakers that it is for, and those whose state is lost though it has not ended. Breakers that
// have changed their state already, or whose semantics have changed, are left alone; but what a
// person did is kept as long as there is such a breaker. What is of breakers that do not exist is
// kept for the case that they are added; see [Engine.Apply]. What has ended since then has: an open breaker whose wait is over is
// half-open.
//
// None is half-open before earliest, which is when the proxies are expected to be
// there that have to bound its probes. One that was half-open is open until the leases have run out of probes that may be in flight.
func (e *Engine) Restore(saved []Saved, earliest, now Instant) (restored, lost []Key) {
	defer e.shared.deliver()
	return e.takeUp(saved, earliest, now)
}

// takeUp is [Engine.Restore] for callers that have transitions delivered later. Breakers of proxies come before that of all of them: while
// that is in the hands of a person, so is every proxy that comes, whatever was done to it before.
func (e *Engine) takeUp(saved []Saved, earliest, now Instant) (restored, lost []Key) {
	for _, ofProxies := range [...]bool{true, false} {
		for i := range saved {
			s := &saved[i]
			if (s.Key.Node != "") != ofProxies {
				continue
			}
			g := e.group(s.Key)
			switch {
			case g == nil && e.kept.add(s, now):
			case g != nil && g.of(s.Key.Node, "", now).restore(s, earliest, now):
				restored = append(restored, s.Key)
			case s.Ends() > now:
				lost = append(lost, s.Key)
			}
		}
	}
	return restored, lost
}

func (b *Breaker) restore(s *Saved, earliest, now Instant) bool {
	b.lock(now)
	defer b.release()
	if b.key() != s.Key || b.sequence > 0 && (b.past.override != nil || b.spec.Mode != ForcedOpen) {
		return false
	}
	o := s.Override
	switch {
	case o == nil:
	case o.Until <= now:
		o = nil
	case o.State == Open && o.Until < earliest: // what comes after it is half-open
		longer := *o
		longer.Until, o = earliest, &longer
	}
	same := b.spec.Config == s.Config
	if !same && o == nil {
		return false
	}
	if b.past == nil {
		b.past = &past{}
	}
	b.sequence, b.generation = max(b.sequence, s.Sequence), max(b.generation, s.Generation)
	b.past.override = o
	if e := s.episode(); e != nil {
		b.past.episode = e
	}
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
			t.Edge.To = Open
		}
	case s.State == HalfOpen:
		t.Edge.To = Open
	}
	if t.Edge.To != b.state || o != nil {
		b.shiftLocked(t)
	}
	b.takeUpLocked(s, earliest, now)
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
func (b *Breaker) takeUpLocked(s *Saved, earliest, now Instant) {
	if b.state == s.State {
		b.since = min(s.Since, now)
	}
	if b.state == Open && b.timedLocked() {
		end := min(s.Until, now.Add(2*max(b.spec.BackoffMax, b.spec.WaitDurationInOpenState)))
		switch {
		case s.Override != nil:
			end = now
		case s.State == HalfOpen && s.Lease > 0:
			end = now.Add(min(s.Lease, MaxDuration))
		case s.State == HalfOpen:
			end = now.Add(b.spec.lease)
		}
		b.past.open.until = max(end, earliest)
	}
	b.advanceLocked(now)
}
