package breaker

import "time"

// Permit is the right to make one call. It is a lease: resolve it with [Permit.Done] or
// [Permit.Settle], however the call ends. Only the first of them does anything. The
// zero Permit does nothing. A permit has one owner, who must not copy it.
type Permit struct {
	cell  *cell // a cell of its breaker; nil: there is nothing to resolve
	began Instant
	mark  mark // when it was given, and what follows
}

// The kinds of permit, in the lower half of the mark. From firstProbe on it is the id of
// a slot in half-open.
const (
	inCell    = iota // the cell counts the call as in flight
	inBreaker        // the breaker counts it
	unjudged         // the outcome changes no state
	untimed          // the breaker counts it among the calls that do not become slow
	firstProbe
)

// admitLocked decides about a call. A closed breaker counts it in the cell if kind is
// inCell and the cell has room, and else as kind says.
func (b *Breaker) admitLocked(c *cell, kind uint32, now Instant) (Permit, Decision) {
	d := Decision{State: b.state}
	phase, low := uint32(byLock), uint32(0)
	switch probe, ok := b.admitsLocked(now); {
	case ok && b.state == HalfOpen:
		low = probe
	case ok && kind == untimed:
		b.untimed++
		low = untimed
	case ok && c.held < maxHeld:
		c.held++
		phase, low = calm, inCell // it may be resolved without the lock
	case ok:
		b.flight.now++
		low = inBreaker
	case b.passesLocked():
		b.orphans++
		low = unjudged
	default:
		d.RetryAfter = b.retryAfterLocked(now)
		return Permit{}, d
	}
	d.Admitted = true
	return Permit{cell: c, began: now, mark: newMark(phase, b.epochs.current, low)}, d
}

// watchOnlyLocked reports whether the state is only observed, and no call is rejected.
func (b *Breaker) watchOnlyLocked() bool {
	return b.params.Mode.watchOnly(b.pastLocked().override != nil)
}

// passesLocked counts a call that the state rejects. It reports whether the call is
// admitted all the same; the outcome of such a call changes no state.
func (b *Breaker) passesLocked() bool {
	if !b.watchOnlyLocked() {
		b.counts.rejected++
		return false
	}
	b.ownPastLocked().wouldReject++
	return true
}

// Done resolves the permit: the call has ended at now with that outcome. The outcome is
// always counted. It changes the state only if the breaker is still in the generation
// that admitted the call and, for a probe, if its lease has not run out. The call was
// slow if it lasted as long as the policy's threshold.
func (p *Permit) Done(o Outcome, now Instant) { p.Settle(o, now.Sub(p.began), now) }

// Settle is [Permit.Done] for a caller who knows how long the service took, where that is
// not the time since the call began.
func (p *Permit) Settle(o Outcome, took time.Duration, now Instant) {
	c := p.cell
	if c == nil {
		return
	}
	p.cell = nil
	if o == Success {
		if w := c.word.Load(); c.tallies(w, p.mark, Instant(took), now) {
			if c.succeed(w) {
				return
			}
			c.breaker.collided(c, w)
		}
	}
	c.breaker.resolve(c, p.mark, o, took, now)
}

// Unsent is [Permit.Settle] for a call that was not sent, since the service has no
// endpoint, or since a limit of the caller's own was reached. In half-open that says
// nothing about the service: the slot is free again, the call counts as ignored, and no
// other probe is admitted for a second. In other states, and where a probe no longer holds
// its slot, the outcome is o.
func (p *Permit) Unsent(o Outcome, took time.Duration, now Instant) {
	if p.cell == nil {
		return
	}
	if b := p.cell.breaker; p.Probe() != 0 {
		b.lock(now)
		if b.epochs.include(p.mark) && b.past.halfOpen.holds(p.Probe()) {
			o, b.past.halfOpen.resume = Ignored, now.Add(unsentPause)
		}
		b.unlock()
	}
	p.Settle(o, took, now)
}

// Refuse gives back the permit of a probe that will not be made, and decides as if no
// slot had been free. The call is rejected and its permit becomes a zero permit; where
// the mode is MetricsOnly the call goes on, and its outcome changes no state. A permit that
// is not a probe's stays as it is.
func (p *Permit) Refuse(now Instant) Decision {
	c := p.cell
	if c == nil || p.Probe() == 0 {
		return Decision{Admitted: true}
	}
	b := c.breaker
	b.lock(now)
	b.landLocked(c, p.mark, ending{outcome: Ignored}, now)
	d := Decision{State: HalfOpen, Admitted: b.passesLocked()}
	p.cell = nil
	if d.Admitted {
		b.orphans++
		p.cell, p.mark = c, newMark(byLock, b.epochs.current, unjudged)
	}
	b.unlock()
	return d
}

// Forget ends a call without an outcome: the engine to which this one has handed the breaker over counts it; see
// [Engine.HandOver]. The permit becomes a zero permit.
func (p *Permit) Forget(now Instant) {
	c := p.cell
	if c == nil {
		return
	}
	p.cell = nil
	b := c.breaker
	b.lock(now)
	b.landLocked(c, p.mark, ending{outcome: Ignored}, now)
	b.unlock()
}

// Answered says that the service has answered within the threshold of slow calls, and
// that the call goes on: the caller reads the response. However long that takes, the
// call does not become slow by it. It does nothing for a probe.
func (p *Permit) Answered(now Instant) {
	c := p.cell
	if low := p.mark.low(); c == nil || low != inCell && low != inBreaker {
		return
	}
	b := c.breaker
	b.lock(now)
	if b.epochs.include(p.mark) {
		if b.leaveFlightLocked(c, p.mark) {
			b.closed.window.settle(nil, justNow)
		}
		b.untimed++
		p.mark = newMark(byLock, b.epochs.current, untimed)
	}
	b.unlock()
}

// Probe returns the id of the slot that the call holds in half-open, for
// [Reported.Uploading], or 0 if the call is not a probe. A breaker gives each id once.
func (p *Permit) Probe() uint32 {
	if low := p.mark.low(); low >= firstProbe {
		return low
	}
	return 0
}

// ending is how a call ended, as the rules see it: a call that was abandoned before it
// was slow is ignored.
type ending struct {
	outcome Outcome
	slow    bool
}

func (b *Breaker) endingLocked(o Outcome, took time.Duration) ending {
	e := ending{o, b.params.SlowCallDurationThreshold > 0 && took >= b.params.SlowCallDurationThreshold}
	if o == Abandoned && !e.slow {
		e.outcome = Ignored
	}
	return e
}

// call returns what a window remembers of the call; nil if the call is ignored.
func (e ending) call() *call {
	if e.outcome == Ignored {
		return nil
	}
	return &call{failed: e.outcome.Failed(), slow: e.slow}
}

func (b *Breaker) resolve(c *cell, m mark, o Outcome, took time.Duration, now Instant) {
	b.lock(now)
	b.landLocked(c, m, b.countedLocked(o, took, now), now)
	b.unlock()
}

// countedLocked counts a call that has ended in the totals, and returns how it ended.
func (b *Breaker) countedLocked(o Outcome, took time.Duration, now Instant) ending {
	e := b.endingLocked(o, took)
	b.addLocked(e, 1)
	if o.Failed() {
		b.lastFailure = max(b.lastFailure, now)
	}
	return e
}

// landLocked ends a call whose permit the cell c gave.
func (b *Breaker) landLocked(c *cell, m mark, e ending, now Instant) {
	switch low := m.low(); {
	case low == unjudged || !b.epochs.include(m):
		b.orphans--
	case low < firstProbe:
		b.endedLocked(e, b.leaveFlightLocked(c, m), now)
	default:
		if _, held := b.past.halfOpen.land(low); held {
			b.endedLocked(e, false, now)
		} else { // the lease of the probe had run out, or the probe was released
			b.orphans--
		}
	}
}
