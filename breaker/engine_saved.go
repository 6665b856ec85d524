package breaker

import "time"

// Saved is the state of a breaker that is not plainly closed, which should outlive its
// process or its policy.
type Saved struct {
	Key        Key
	Config     Config // the semantics it had; a breaker with others starts again
	State      State
	Since      Instant
	Until      Instant // open, half-open: when the state ends by itself; 0: it does not
	Openings   uint32  // see [Config.BackoffMultiplier]
	Sequence   uint64  // so that it goes on without gaps
	Generation uint64
	Override   *Override
	Cause      *Transition // the cause of the episode; nil: the Trip, if that came from closed, or else not known
	Trip       *Transition // the last transition into open by a rule
	// Lease, in half-open, is how long a probe may go on that holds a permit. 0: as long
	// as the policy says that is in force when the breaker is restored.
	Lease time.Duration
}

// Ends returns when there is nothing left to keep: the override is over, or else the
// state has ended. 0: there is nothing to wait for.
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

// Export returns what [Engine.Restore] needs to go on from the state of this engine at
// now, including what the engine remembers of breakers that were removed. It costs little for
// breakers that have nothing to remember.
func (e *Engine) Export(now Instant) []Saved { return e.export((*Breaker).appendSaved, now) }

// ExportLast is [Engine.Export] for an engine that will give no more permits and take no
// more outcomes. A breaker that was half-open is then saved as open, until the leases of
// its probes in flight have run out; mostly there is none.
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

// Restore goes on from what another engine has exported, with its instants on this
// engine's clock. It returns the breakers that it restored, and the breakers whose state
// is lost although it has not ended.
//
// A breaker that has changed its state already, or whose semantics have changed, is left
// alone, but an override is kept as long as the breaker exists. A breaker that does
// not exist is remembered in case it is added; see [Engine.Apply]. A state whose time is
// over has ended: an open breaker whose wait is over is half-open.
//
// No breaker becomes half-open before earliest, which is when the proxies that bound
// its probes are expected to be there. A breaker that was half-open is open until the
// leases have run out of the probes that may be in flight.
func (e *Engine) Restore(saved []Saved, earliest, now Instant) (restored, lost []Key) {
	defer e.shared.deliver()
	return e.takeUp(saved, earliest, now)
}

// takeUp is [Engine.Restore] for a caller that has transitions delivered later. It
// restores the breakers of single proxies before the one for all proxies: as long as an
// operator holds that one, every proxy that appears is held too, whatever was forced on
// it before.
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
			case g != nil && g.ofNode(s.Key.Node, "", now).restore(s, earliest, now):
				restored = append(restored, s.Key)
			case s.Ends() > now:
				lost = append(lost, s.Key)
			}
		}
	}
	return restored, lost
}
