package breaker

import "time"

// Permit is the right to make one call. It is a lease: resolve it with [Permit.Done] or
// [Permit.Settle], whatever becomes of the call. Only the first of them does anything. The
// zero Permit does nothing. A permit has one owner, who must not copy it.
type Permit struct {
	cell  *cell // of its breaker; nil: there is nothing to resolve
	began Instant
	mark  uint64 // the tag of the cell when it was given, and below it what follows
}

// What the lower half of a permit's mark says. From firstProbe on it is the id of a
// slot in half-open.
const (
	inCell    = iota // the cell counts the call as in flight
	inBreaker        // the breaker does
	unjudged         // the outcome changes no state
	untimed          // the breaker counts it, apart from those that become slow
	firstProbe
)

// Done resolves the permit: what became of the call, known now. The outcome is always
// counted; it changes the state only if the breaker is still in the generation that
// admitted the call, and, for a probe, if its lease has not run out. The call was slow if
// now is as far from when it began as the threshold says.
func (p *Permit) Done(o Outcome, now Instant) { p.Settle(o, now.Sub(p.began), now) }

// Settle is [Permit.Done] for a caller who knows better how long the service took than
// the time since the call began tells.
func (p *Permit) Settle(o Outcome, took time.Duration, now Instant) {
	c := p.cell
	if c == nil {
		return
	}
	p.cell = nil
	if o == Success {
		w := c.word.Load()
		if (w^p.mark)>>tagShift == 0 && w&tallyMask != tallyMask &&
			now < Instant(c.end.Load()) && Instant(took) < Instant(c.slow.Load()) {
			if c.word.CompareAndSwap(w, w-oneInFlight+1) {
				return
			}
			c.breaker.collided(c, w)
		}
	}
	c.breaker.resolve(c, p, o, took, now)
}

// Unsent is [Permit.Settle] for a call that was sent to nobody, since the service has no
// endpoint to send it to, or since a limit of the caller's own was reached. In half-open that
// says nothing of the service: the permit is free again, the call counts as ignored, and no
// other is let through for a second. In other states, and where the permit of a probe is no longer
// out, the outcome is o.
func (p *Permit) Unsent(o Outcome, took time.Duration, now Instant) {
	if p.cell == nil {
		return
	}
	if b := p.cell.breaker; p.Probe() != 0 {
		b.lock(now)
		if b.state == HalfOpen && b.past.halfOpen.holds(p.Probe()) {
			o, b.past.halfOpen.resume = Ignored, now.Add(unsentPause)
		}
		b.unlock()
	}
	p.Settle(o, took, now)
}

// Refuse gives back the permit of a probe that is not to be made after all, and decides as if
// none had been free: the call is rejected, and its permit does nothing any more, or where the
// mode is MetricsOnly it goes on, and nobody judges it. Of another permit it changes nothing.
func (p *Permit) Refuse(now Instant) Decision {
	c := p.cell
	if c == nil || p.Probe() == 0 {
		return Decision{Admitted: true}
	}
	b := c.breaker
	b.lock(now)
	b.landLocked(c, p, ending{outcome: Ignored}, now)
	d := Decision{State: HalfOpen, Admitted: b.passesLocked()}
	p.cell = nil
	if d.Admitted {
		p.cell, p.mark = c, uint64(byLock)<<phaseShift|uint64(b.epoch)<<tagShift|unjudged
	}
	b.unlock()
	return d
}

// Answered says that the service has answered within the threshold of slow calls, and
// that the call goes on: the caller reads the response. However long that takes, the
// call does not become slow by it. Of a probe it says nothing.
func (p *Permit) Answered(now Instant) {
	c := p.cell
	if low := uint32(p.mark); c == nil || low != inCell && low != inBreaker {
		return
	}
	b := c.breaker
	b.lock(now)
	if epoch := uint32(p.mark>>tagShift) & epochMask; (b.epoch-epoch)&epochMask <= b.age {
		if b.leaveFlightLocked(c, p) {
			b.closed.window.settle(nil)
		}
		b.untimed++
		p.mark = uint64(byLock)<<phaseShift | uint64(b.epoch)<<tagShift | untimed
	}
	b.unlock()
}

// Probe returns the id of the slot in half-open that the call was given, for
// [Breaker.ReleaseProbe]. It is 0 if the call is no probe. A breaker gives each id once.
func (p *Permit) Probe() uint32 {
	if low := uint32(p.mark); low >= firstProbe {
		return low
	}
	return 0
}

// ending is how a call ended, as the rules see it: one that was abandoned before it was
// slow is ignored.
type ending struct {
	outcome Outcome
	slow    bool
}

func (b *Breaker) endingLocked(o Outcome, took time.Duration) ending {
	e := ending{o, b.spec.SlowCallDurationThreshold > 0 && took >= b.spec.SlowCallDurationThreshold}
	if o == Abandoned && !e.slow {
		e.outcome = Ignored
	}
	return e
}

// call is what windows remember of it, unless it is ignored.
func (e ending) call() call { return call{failed: e.outcome.Failed(), slow: e.slow} }

func (b *Breaker) resolve(c *cell, p *Permit, o Outcome, took time.Duration, now Instant) {
	b.lock(now)
	e := b.endingLocked(o, took)
	b.addLocked(e, 1)
	if o.Failed() {
		b.lastFailure = max(b.lastFailure, now)
	}
	b.landLocked(c, p, e, now)
	b.unlock()
}

// landLocked ends a call that had a permit of the cell c.
func (b *Breaker) landLocked(c *cell, p *Permit, e ending, now Instant) {
	epoch, low := uint32(p.mark>>tagShift)&epochMask, uint32(p.mark)
	switch {
	case low == unjudged || (b.epoch-epoch)&epochMask > b.age:
		b.strays--
		return
	case b.state == HalfOpen:
		b.landProbeLocked(low, e, now)
		return
	}
	b.countLocked(e, b.leaveFlightLocked(c, p), now)
}

// leaveFlightLocked takes a call of this closed phase from those in flight, and reports
// whether it is in the window already, as one that is slow.
func (b *Breaker) leaveFlightLocked(c *cell, p *Permit) (passed bool) {
	switch epoch, low := uint32(p.mark>>tagShift)&epochMask, uint32(p.mark); {
	case low == untimed:
		b.untimed--
	case epoch != b.epoch:
		return b.flight.land(epoch)
	case low == inBreaker:
		b.flight.now--
	default:
		c.held--
	}
	return false
}

// landProbeLocked takes the outcome of a probe of this half-open phase. One whose lease
// ran out, or that was released, says nothing any more; an ignored one gives its slot
// back and says nothing.
func (b *Breaker) landProbeLocked(probe uint32, e ending, now Instant) {
	if !b.past.halfOpen.land(probe) {
		b.strays--
		return
	}
	if e.outcome != Ignored {
		b.judgeProbeLocked(e, now)
	}
}

// judgeProbeLocked takes what became of a probe, and ends half-open if that is enough.
func (b *Breaker) judgeProbeLocked(e ending, now Instant) {
	if to, why, ok := b.past.halfOpen.judge(&b.spec.Config, e); ok {
		b.moveLocked(Edge{HalfOpen, to, why}, now)
	}
}

// countLocked counts a call of this closed phase. passed tells that it is in the window
// already, as one that is slow.
func (b *Breaker) countLocked(e ending, passed bool, now Instant) {
	w, kind := &b.closed.window, e.call()
	switch {
	case passed && e.outcome == Ignored:
		w.settle(nil)
	case passed:
		w.settle(&kind)
	case e.outcome != Ignored:
		w.add(kind, 1)
	}
	switch e.outcome {
	case Ignored:
		return
	case Abandoned: // neither ends nor lengthens a run
	case Success:
		b.closed.succeeded(now)
	default:
		b.closed.failed(now)
	}
	b.judgeLocked(now)
}
