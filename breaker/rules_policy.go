package breaker

import "time"

// params are the settings of a policy for a breaker. Breakers with equal settings share
// them.
type params struct {
	Config
	lease, timeout time.Duration
	gone           ClientGone
}

// configure replaces the params, and reports whether that restarted the breaker, which it
// does when the Config differs.
func (b *Breaker) configure(p *params, now Instant) bool {
	b.mu.Lock()
	now = max(now, b.since) // calls went on since the caller read the clock
	b.mu.Unlock()
	b.lock(now)
	defer b.release()
	old := b.params
	b.params = p
	if old == p || old.Config == p.Config {
		return false
	}
	b.restartLocked(now)
	return true
}

// restartLocked begins again with the present params, after other semantics.
func (b *Breaker) restartLocked(now Instant) {
	if b.past != nil {
		b.past.open.openings = 0
	}
	switch {
	case b.pastLocked().override != nil: // it stays, and the new params hold after it
		b.renewLocked(now)
	case b.params.Mode == ForcedOpen:
		b.moveLocked(Open, PolicyForced, now)
	case b.state != Closed:
		b.moveLocked(Closed, PolicyChanged, now)
	default:
		b.renewLocked(now)
		b.since = now
	}
}

// renewLocked begins a new generation in the same state.
func (b *Breaker) renewLocked(now Instant) {
	b.leaveLocked(now)
	b.generation++
	if b.state == Closed {
		b.enterClosedLocked(now)
	}
}

// retire removes the breaker from the engine: its transitions are no longer delivered.
func (b *Breaker) retire() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.retired = true
}
