package breaker

// unlessForcedLocked returns the edge to a state, or the edge to open where the policy's
// mode is ForcedOpen.
func (b *Breaker) unlessForcedLocked(to State, why Reason) Edge {
	if b.params.Mode == ForcedOpen {
		return Edge{To: Open, Reason: PolicyForced}
	}
	return Edge{To: to, Reason: why}
}

// overridden returns the state that an operator has forced; nil: none.
func (b *Breaker) overridden() *Override {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pastLocked().override
}

// disabled reports whether the policy's mode is Disabled, so that no call asks the
// breaker.
func (b *Breaker) disabled() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.params.Mode == Disabled
}

// force puts the breaker in a state until o.Until; see [Engine.Force].
func (b *Breaker) force(o Override, now Instant) {
	b.lock(now)
	defer b.release()
	b.ownPastLocked().override = &o
	b.becomeLocked(&Transition{Edge: Edge{To: o.State, Reason: Forced}, At: now, By: o.By, Note: o.Note, Until: o.Until})
}

// reset makes the breaker as if it were new, except for its counts; see [Engine.Reset].
func (b *Breaker) reset(by, note string, now Instant) {
	b.lock(now)
	defer b.release()
	p := b.ownPastLocked()
	p.override = nil
	t := &Transition{Edge: b.unlessForcedLocked(Closed, Reset), At: now, By: by, Note: note}
	b.becomeLocked(t)
	p.open.openings, p.episode = 0, nil
	if t.Edge.To == Open {
		p.episode = &Episode{Cause: t}
	}
}

// endOverrideLocked ends what an operator has forced. A breaker that was forced open does
// not know how its upstream is, so it probes, unless there may be no calls that could.
func (b *Breaker) endOverrideLocked(now Instant) {
	o := b.past.override
	b.past.override = nil
	to := Closed
	if o.State == Open && b.params.Mode != Disabled && !b.spare() {
		to = HalfOpen
	}
	b.becomeLocked(&Transition{Edge: b.unlessForcedLocked(to, ForceExpired), At: now, By: o.By, Note: o.Note})
}
