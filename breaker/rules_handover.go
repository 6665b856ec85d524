package breaker

// handoverLocked returns what [Engine.HandOver] promises.
func (b *Breaker) handoverLocked() Handover {
	p := b.pastLocked()
	h := Handover{Saved: b.savedLocked(), LastFailure: b.lastFailure, LastProbe: p.halfOpen.lastProbe, ProbesFrom: p.probesFrom}
	switch b.state {
	case Closed:
		h.Window = b.closed.window.tallies()
		h.Run, h.Recent = b.closed.handOver()
		if b.closed.ramping {
			h.RampUntil, h.RampCredit = p.ramp.until, p.ramp.credit
		}
	case HalfOpen:
		of := &p.halfOpen
		h.Probed = Probed{Counts: of.counts, Successes: of.successes, Lost: of.lost, Resume: of.resume}
		for _, s := range of.slots {
			h.Probes = append(h.Probes, Probe{ID: s.probe, Deadline: s.deadline})
		}
	}
	return h
}

// leaveBehindLocked makes the breaker as if it were new, without a transition. Its totals,
// generation and sequence stay, and so does the last id of a probe.
func (b *Breaker) leaveBehindLocked(now Instant) {
	b.orphanLocked(now)
	b.state, b.since = Closed, now
	if p := b.past; p != nil {
		p.open, p.override, p.episode = open{until: never}, nil, nil
	}
	b.enterClosedLocked(now)
	if b.params.Mode == ForcedOpen {
		b.state = Open
		b.ownPastLocked().open.until = never
	}
	b.shrinkLocked()
}

// takeOver is [Engine.TakeOver] for a breaker that was found.
func (b *Breaker) takeOver(h *Handover, earliest, now Instant) {
	b.lock(now)
	defer b.release()
	p, same := b.ownPastLocked(), b.params.Config == h.Config
	b.sequence, b.generation = max(b.sequence, h.Sequence), max(b.generation, h.Generation)
	if at := min(h.LastFailure, now); at != 0 && (b.lastFailure == 0 || at > b.lastFailure) {
		b.lastFailure = at
	}
	p.halfOpen.lastProbe = max(p.halfOpen.lastProbe, h.LastProbe)
	if from := max(h.ProbesFrom, earliest); from > now {
		p.probesFrom = max(p.probesFrom, from)
	}
	if b.newerLocked(h, same) {
		if same {
			p.open.openings = max(p.open.openings, min(h.Openings, maxOpenings))
		}
		if p.episode == nil {
			p.episode = h.episode()
		}
		return
	}
	merged := b.adoptLocked(h, now)
	if !same {
		b.restartLocked(now)
	}
	b.elapseLocked(now)
	if merged {
		b.judgeLocked(now)
	}
	b.shrinkLocked()
}

// newerLocked reports whether the state of this breaker stays, since it has come about after
// the one of h. An operator has the last word. Failures that come late never open a breaker
// for longer, but they open one that was closed.
func (b *Breaker) newerLocked(h *Handover, same bool) bool {
	own, theirs := b.past.override, h.Override
	switch {
	case own != nil && theirs != nil:
		return *own != *theirs
	case own != nil || theirs != nil:
		return own != nil
	default:
		return b.state != Closed && (!same || h.State == Closed)
	}
}

// adoptLocked goes on from the state of h. It reports whether a closed breaker has counted
// calls by itself, which come after the calls in h.
func (b *Breaker) adoptLocked(h *Handover, now Instant) (merged bool) {
	p := b.past
	stays := b.state == Closed && h.State == Closed
	if !stays {
		b.orphanLocked(now)
	}
	b.state, b.since = h.State, min(h.Since, now)
	p.override, p.episode, p.open.openings = h.Override, h.episode(), min(h.Openings, maxOpenings)
	switch h.State {
	case Closed:
		if !stays {
			b.enterClosedLocked(now)
		}
		b.rampLocked(h, now)
		merged = b.closed.takeOver(h)
	case HalfOpen:
		b.probeLocked(h, now)
	case Open:
		p.open.until = never
		if b.waitsLocked() {
			p.open.until = b.boundedLocked(h.Until, now)
		}
	}
	return merged
}

// probeLocked goes on with the probes of h.
func (b *Breaker) probeLocked(h *Handover, now Instant) {
	p, most := b.past, b.params.MaxWaitDurationInHalfOpenState
	until := min(h.Until, now.Add(most))
	if p.probesFrom > now {
		until = p.probesFrom.Add(most)
	}
	p.halfOpen.enter(until)
	of := &p.halfOpen
	of.counts, of.successes, of.lost, of.resume = h.Probed.Counts, h.Probed.Successes, h.Probed.Lost, h.Probed.Resume
	for _, pr := range h.Probes {
		of.slots = append(of.slots, slot{probe: pr.ID, deadline: pr.Deadline, away: true})
	}
}

// rampLocked goes on with the ramp of h, which is as long as any.
func (b *Breaker) rampLocked(h *Handover, now Instant) {
	if h.RampUntil == 0 || b.params.RampDuration == 0 {
		return
	}
	until := min(h.RampUntil, now.Add(b.params.RampDuration))
	b.closed.ramping = true
	b.past.ramp = ramp{since: until.Add(-b.params.RampDuration), until: until, credit: min(h.RampCredit, Whole)}
}
