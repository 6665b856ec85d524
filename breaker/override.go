package breaker

import "errors"

// Force puts the breaker of key in a state by hand, in place of what a person did
// before. It stays there until [Override.Until] or [Engine.Reset], whatever its
// calls, timers and policies say; then an open one goes on in half-open, and a
// closed one judges anew. Of a key without a node, in a scope of nodes, it is for
// all proxies. The error is [ErrUnknown], [ErrDisabled], or says what is wrong with o.
func (e *Engine) Force(key Key, o Override, now Instant) error {
	switch {
	case o.State != Open && o.State != Closed:
		return errors.New("a breaker can be forced open or closed, nothing else")
	case o.By == "" || o.Note == "":
		return errors.New("a forced state needs who did it and why")
	case o.Until <= now:
		return errors.New("a forced state needs an end in the future")
	}
	if g := e.group(key); g != nil && g.disabled() {
		return ErrDisabled
	}
	return e.byHand(key, func(b *Breaker) { b.force(o, now) })
}

// Reset makes the breaker of key as if it were new, but for its counts, and ends
// what [Engine.Force] began. Where the policy's mode is ForcedOpen, that is open.
// The error is [ErrUnknown].
func (e *Engine) Reset(key Key, by, note string, now Instant) error {
	return e.byHand(key, func(b *Breaker) { b.reset(by, note, now) })
}

// disabled tells whether the policy has taken the breaker out of the way.
func (b *Breaker) disabled() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.spec.Mode == Disabled
}

func (e *Engine) byHand(key Key, do func(*Breaker)) error {
	g := e.group(key)
	if g == nil {
		return ErrUnknown
	}
	defer e.shared.deliver()
	if key.Node == "" {
		g.each(do)
		return nil
	}
	b := g.known(key.Node)
	if b == nil {
		return ErrUnknown
	}
	do(b)
	return nil
}

func (b *Breaker) force(o Override, now Instant) {
	b.lock(now)
	defer b.release()
	if b.past == nil {
		b.past = &past{}
	}
	b.past.override = &o
	b.shiftLocked(&Transition{Edge: Edge{b.state, o.State, Forced}, At: now, By: o.By, Note: o.Note, Until: o.Until})
}

func (b *Breaker) reset(by, note string, now Instant) {
	b.lock(now)
	defer b.release()
	if b.past != nil {
		b.past.override = nil
	}
	edge := Edge{b.state, Closed, Reset}
	if b.spec.Mode == ForcedOpen {
		edge = Edge{b.state, Open, PolicyForced}
	}
	t := &Transition{Edge: edge, At: now, By: by, Note: note}
	b.shiftLocked(t)
	b.past.open.openings, b.past.episode = 0, nil
	if t.Edge.To == Open {
		b.past.episode = &Episode{Cause: t}
	}
}

// expireLocked ends what a person did. An open breaker does not know how its
// upstream is, so it probes.
func (b *Breaker) expireLocked(now Instant) {
	o := b.past.override
	b.past.override = nil
	edge := Edge{b.state, Closed, ForceExpired}
	switch {
	case b.spec.Mode == ForcedOpen:
		edge = Edge{b.state, Open, PolicyForced}
	case o.State == Open && b.spec.Mode != Disabled:
		edge.To = HalfOpen
	}
	b.shiftLocked(&Transition{Edge: edge, At: now, By: o.By, Note: o.Note})
}
