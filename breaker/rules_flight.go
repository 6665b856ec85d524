package breaker

// A call in flight is counted in one place: by a cell, by the flight of a closed
// breaker, as untimed, by a slot of half-open, or as an orphan. Its permit says where. A
// probe that another process makes has a slot and no permit: it is counted when it ends.

// inFlightLocked returns how many calls hold a permit.
func (b *Breaker) inFlightLocked() uint64 {
	n := uint64(b.orphans) + uint64(b.untimed) + b.timedLocked()
	if b.state == HalfOpen {
		n += uint64(b.past.halfOpen.here())
	}
	return n
}

// timedLocked returns how many calls in flight may become slow, or have.
func (b *Breaker) timedLocked() uint64 { return b.flight.total() + uint64(b.heldLocked()) }

// heldLocked returns how many calls in flight the cells count.
func (b *Breaker) heldLocked() uint32 {
	var n uint32
	for c := range b.cells {
		n += c.held
	}
	return n
}

func (b *Breaker) clearHeldLocked() {
	for c := range b.cells {
		c.held = 0
	}
}

// orphanLocked ends a generation for its calls in flight: they become orphans.
func (b *Breaker) orphanLocked(now Instant) {
	b.orphans = uint32(b.inFlightLocked())
	b.untimed = 0
	b.clearHeldLocked()
	b.flight.enter(0, now)
	b.epochs.restart()
}

// becomeSlowLocked returns how many calls in flight have become slow since it was last
// called.
func (b *Breaker) becomeSlowLocked(now Instant) uint32 {
	f := &b.flight
	if now >= f.end && f.turn(b.epochs.current, b.heldLocked(), Instant(b.params.SlowCallDurationThreshold), now) {
		b.clearHeldLocked()
		b.epochs.next()
	}
	return f.pass(now)
}

// leaveFlightLocked takes a call of this closed generation out of those in flight. It
// reports whether the window counts the call already, as one that became slow in flight.
func (b *Breaker) leaveFlightLocked(c *cell, m mark) (counted bool) {
	switch {
	case m.low() == untimed:
		b.untimed--
	case m.epoch() != b.epochs.current:
		return b.flight.land(m.epoch())
	case m.low() == inBreaker:
		b.flight.now--
	default:
		c.held--
	}
	return false
}
