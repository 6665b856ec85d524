package breaker

// This file is where rules and counting meet: taking the lock closes the cells, and
// releasing it opens them for the calls that change nothing in the state of the breaker.

// cells yields each cell of the breaker; the caller holds the lock. Where there are
// stripes, the first cell still counts the calls in flight that it admitted before.
func (b *Breaker) cells(yield func(*cell) bool) {
	s := b.striped.Load()
	if !yield(&b.cell) || s == nil {
		return
	}
	for i := range *s {
		if !yield(&(*s)[i].cell) {
			return
		}
	}
}

// lock takes the lock, closes the cells, and brings the breaker to now: it adds what was
// counted without the lock, and makes the changes that time alone brings.
func (b *Breaker) lock(now Instant) {
	b.mu.Lock()
	var tally uint32
	for c := range b.cells {
		tally += c.take()
	}
	switch {
	case tally == 0:
	case b.state == Closed:
		b.addLocked(ending{outcome: Success}, uint64(tally))
		b.closed.successes(tally)
	default:
		b.counts.rejected += uint64(tally)
	}
	b.elapseLocked(now)
}

// unlock releases the lock and has transitions delivered. The caller holds no other
// lock.
func (b *Breaker) unlock() {
	b.release()
	b.engine.deliver()
}

// release opens the cells as the state allows, and releases the lock.
func (b *Breaker) release() {
	if b.collisions.Load() >= manyCollisions && b.striped.Load() == nil {
		b.striped.Store(newStripes(b))
	}
	b.scheduleLocked()
	phase, end := b.phaseLocked()
	slow := Instant(b.params.SlowCallDurationThreshold)
	if slow == 0 {
		slow = never
	}
	striped := b.striped.Load() != nil
	for c := range b.cells {
		if striped && c == &b.cell { // calls look for a stripe
			c.open(locked, b.epochs.current, end, slow)
			continue
		}
		c.open(phase, b.epochs.current, end, slow)
	}
	b.mu.Unlock()
}

// phaseLocked returns what calls may do without the lock, and until when.
func (b *Breaker) phaseLocked() (phase uint32, end Instant) {
	switch {
	case b.state == Closed && b.watched && b.closed.calm(&b.params.Config):
		end = min(b.closed.window.end(), b.flight.end, b.flight.due())
		if o := b.pastLocked().override; o != nil {
			end = min(end, o.Until)
		}
		return calm, end
	case b.waitsLocked() && b.params.Mode != MetricsOnly:
		return rejecting, b.past.open.until
	default:
		return locked, 0
	}
}

// scheduleLocked notes when time alone will change the breaker, at the earliest, and has
// Advance look at it then. While a closed breaker has calls in flight, that is when they
// may have become slow. While it has none, the next call needs the lock, so that
// Advance will notice when that call becomes slow.
func (b *Breaker) scheduleLocked() {
	due, p := b.endsLocked(), b.pastLocked()
	slows := b.state == Closed && b.params.TripsOnSlowCalls()
	if slows && p.override == nil && b.timedLocked() > 0 {
		due = min(b.flight.due(), b.flight.end+Instant(b.params.SlowCallDurationThreshold))
	}
	b.watched = due != never || b.state == Closed && !slows
	b.due = due
	if memorable := b.state != Closed || p.override != nil || p.open.openings > 0; memorable != b.memorable.Load() {
		b.memorable.Store(memorable)
	}
	if due == never || b.retired {
		return
	}
	if !b.listed {
		b.listed = true
		b.engine.list(b)
	}
	b.engine.expect(due)
}
