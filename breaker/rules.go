package breaker

// This file is the machine: which state admits what, and what takes it where. It can be
// read alone. The figures that a state remembers and judges by are in the files that
// begin with rules_. Below them, the files that begin with count_ do the counting, and
// know of no rule.
//
//	state     admits                          goes to
//	Closed    every call; in the ramp, a      Open, when the failures in a row, the failure rate
//	          share that grows with time      or the rate of slow calls reaches its threshold
//	Open      no call                         HalfOpen, when the wait is over
//	HalfOpen  a few probes at a time          Closed, when enough probes have succeeded;
//	                                          Open, when one has failed, when too many were
//	                                          slow, or when it has lasted as long as it may
//
// An outcome counts only in the generation that admitted its call; every change of state
// begins a new generation.
//
// Where an operator has forced a state, and in the mode ForcedOpen, neither rules nor
// time change the state. In the mode Disabled no rule trips the breaker. In the mode
// MetricsOnly the state changes as usual, but every call is admitted, unless an operator
// has forced the state. Operators, policies and restarts change the state in
// rules_override.go, rules_policy.go and rules_restore.go.

// admitsLocked reports whether the state admits one more call. In half-open the call is
// a probe and holds a slot, whose id is returned.
func (b *Breaker) admitsLocked(now Instant) (probe uint32, ok bool) {
	switch b.state {
	case Closed:
		return 0, !b.closed.ramping || b.past.ramp.admit(now)
	case HalfOpen:
		if now < b.past.probesFrom {
			return 0, false
		}
		probe = b.past.halfOpen.admit(&b.params.Config, now, now.Add(b.params.lease))
		return probe, probe != 0
	default:
		return 0, false
	}
}

// elapseLocked makes the changes that time alone brings.
func (b *Breaker) elapseLocked(now Instant) {
	if b.state == Closed {
		b.closed.elapse(now) // first, so that no transition shows calls that are too old
	}
	if o := b.pastLocked().override; o != nil && now >= o.Until {
		b.endOverrideLocked(now)
	}
	switch b.state {
	case Closed:
		if b.closed.ramping && now >= b.past.ramp.until {
			b.closed.ramping = false
		}
		if n := b.becomeSlowLocked(now); n > 0 {
			b.closed.window.early(n, justNow)
			b.judgeLocked(now)
		}
	case HalfOpen:
		b.expireLeasesLocked(now)
		if now >= b.past.halfOpen.until {
			b.moveLocked(Open, HalfOpenExpired, now)
		}
	case Open:
		if b.waitsLocked() && now >= b.past.open.until {
			b.moveLocked(HalfOpen, WaitOver, now)
		}
	}
}

// endedLocked takes the outcome of a call that this generation has admitted. counted
// says that the window counts the call already, as one that became slow in flight.
func (b *Breaker) endedLocked(e ending, counted bool, now Instant) {
	switch b.state {
	case Closed:
		b.closed.ended(e, counted, now)
	case HalfOpen:
		b.past.halfOpen.ended(e)
	}
	if e.outcome != Ignored {
		b.judgeLocked(now)
	}
}

// judgeLocked makes the transition that the outcomes so far call for, if any.
func (b *Breaker) judgeLocked(now Instant) {
	cfg := &b.params.Config
	switch b.state {
	case Closed:
		if cfg.Mode == Disabled || b.pastLocked().override != nil {
			return
		}
		if why, trips := b.closed.judge(cfg); trips {
			b.moveLocked(Open, why, now)
		}
	case HalfOpen:
		if to, why, decided := b.past.halfOpen.judge(cfg); decided {
			b.moveLocked(to, why, now)
		}
	}
}

// waitsLocked reports whether the breaker is open until its wait is over.
func (b *Breaker) waitsLocked() bool {
	return b.state == Open && b.past.override == nil && b.params.Mode != ForcedOpen
}

// endsLocked returns when time alone will end the state, or never.
func (b *Breaker) endsLocked() Instant {
	switch p := b.pastLocked(); {
	case p.override != nil:
		return p.override.Until
	case b.waitsLocked():
		return p.open.until
	case b.state == HalfOpen:
		return p.halfOpen.until
	default:
		return never
	}
}

// moveLocked changes the state by a rule or a policy.
func (b *Breaker) moveLocked(to State, why Reason, now Instant) {
	b.becomeLocked(&Transition{Edge: Edge{To: to, Reason: why}, At: now})
}

// becomeLocked changes the state to t.Edge.To. No other function does. It fills in the
// rest of t, except for what an operator has said.
func (b *Breaker) becomeLocked(t *Transition) {
	now := t.At
	t.Edge.From = b.state
	t.Key, t.Since, t.Window, t.Mode = b.key(), b.since, b.windowLocked(), b.params.Mode
	b.leaveLocked(now)
	b.generation++
	b.sequence++
	t.Generation, t.Sequence = b.generation, b.sequence
	b.state, b.since = t.Edge.To, now
	b.enterLocked(t)
	delivered := *t
	delivered.Cause = b.past.record(t)
	if !b.retired {
		b.engine.push(delivered)
	}
}

// leaveLocked ends a generation: its calls in flight become orphans.
func (b *Breaker) leaveLocked(now Instant) {
	b.orphanLocked(now)
	if b.state == Closed && b.past != nil {
		b.past.open.openings = b.past.open.remembered(&b.params.Config, now.Sub(b.since))
	}
}

// enterLocked begins the state that t leads to.
func (b *Breaker) enterLocked(t *Transition) {
	p, cfg, now := b.ownPastLocked(), &b.params.Config, t.At
	switch t.Edge.To {
	case Closed:
		b.enterClosedLocked(now)
		if t.Edge.Reason == ProbesSucceeded && cfg.RampDuration > 0 {
			b.closed.ramping = true
			p.ramp.enter(now, now.Add(cfg.RampDuration))
		}
	case HalfOpen:
		p.halfOpen.enter(max(now, p.probesFrom).Add(cfg.MaxWaitDurationInHalfOpenState))
	case Open:
		p.open.until = never
		if t.Edge.Reason.ByRule() {
			asked := t.Edge.Reason != HalfOpenExpired || p.halfOpen.asked()
			t.Wait = p.open.begin(t.Key, cfg, t.Sequence, asked)
			t.Openings = p.open.openings
			p.open.until = now.Add(t.Wait)
		}
	}
}

func (b *Breaker) enterClosedLocked(now Instant) {
	b.closed.enter(&b.params.Config, now)
	b.flight.enter(Instant(b.params.SlowCallDurationThreshold), now)
}
