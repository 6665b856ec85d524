package breaker

// Calls that other processes make have no permit here. A probe of theirs holds a slot, and is
// resolved by its id.

func (b *Breaker) acquireProbe(now Instant) (probe uint32, generation uint64, d Decision) {
	b.lock(now)
	defer b.unlock()
	d.State, d.Admitted = b.state, true
	probe, ok := b.admitsLocked(now)
	switch {
	case probe != 0:
		b.past.halfOpen.slots[len(b.past.halfOpen.slots)-1].away = true
	case !ok && !b.watchOnlyLocked(): // a call that passes all the same is counted when it is reported
		b.counts.rejected++
		d.Admitted, d.RetryAfter = false, b.retryAfterLocked(now)
	}
	return probe, b.generation, d
}

func (b *Breaker) settleProbe(s *Settlement, now Instant) (held bool) {
	b.lock(now)
	defer b.unlock()
	if b.state == HalfOpen {
		_, held = b.past.halfOpen.land(s.Probe)
	}
	if s.Refused {
		b.passesLocked()
		return held
	}
	o := s.Outcome
	if held && s.Unsent {
		o, b.past.halfOpen.resume = Ignored, now.Add(unsentPause)
	}
	if e := b.countedLocked(o, s.Took, now); held {
		b.endedLocked(e, false, now)
	}
	return held
}
