package breaker

import (
	"slices"
	"time"
)

// halfOpen is what a half-open breaker knows: the probes in flight and what
// became of the others.
type halfOpen struct {
	until     Instant
	slots     []slot // probes in flight; never more than are permitted
	lastProbe uint32 // ids are never used twice, over all half-open phases
	counts    WindowCounts
	successes uint64  // of the calls in counts
	lost      uint64  // probes whose lease ran out
	resume    Instant // when the next probe may be; it is later than now after one that was not sent
}

// slot is the lease of one probe.
type slot struct {
	probe    uint32
	deadline Instant
}

// enter begins a phase.
func (h *halfOpen) enter(until Instant) {
	*h = halfOpen{until: until, slots: h.slots[:0], lastProbe: h.lastProbe}
}

// unsentPause is how long no probe is let through after one that was sent to nobody.
const unsentPause = time.Second

// asked tells whether the service was asked in this phase, as far as that is known.
func (h *halfOpen) asked() bool { return h.counts.Calls > 0 || h.lost > 0 || len(h.slots) > 0 }

// admit returns the id of a new probe, or 0 when all permits are out.
func (h *halfOpen) admit(cfg *Config, now, deadline Instant) uint32 {
	if now < h.resume || len(h.slots) >= int(cfg.PermittedNumberOfCallsInHalfOpenState) {
		return 0
	}
	h.lastProbe = max(h.lastProbe+1, firstProbe)
	h.slots = append(h.slots, slot{probe: h.lastProbe, deadline: deadline})
	return h.lastProbe
}

// expire frees the slots whose lease has run out and returns how many there were.
func (h *halfOpen) expire(now Instant) uint64 {
	before := len(h.slots)
	h.slots = slices.DeleteFunc(h.slots, func(s slot) bool { return now >= s.deadline })
	n := uint64(before - len(h.slots))
	h.lost += n
	return n
}

// land takes a probe's slot back, and tells whether it still had one.
func (h *halfOpen) land(probe uint32) bool {
	i := slices.IndexFunc(h.slots, func(s slot) bool { return s.probe == probe })
	if i < 0 {
		return false
	}
	h.slots = slices.Delete(h.slots, i, i+1)
	return true
}

// judge takes what became of a probe, and returns where the probes so far lead; ok is
// false while they are undecided. Only successes lead to closed.
func (h *halfOpen) judge(cfg *Config, e ending) (to State, why Reason, ok bool) {
	h.counts.Calls++
	if e.slow {
		h.counts.Slow++
	}
	if e.outcome.Failed() {
		h.counts.Failures++
		h.counts.Run++
		return Open, ProbeFailed, true
	}
	if e.outcome == Success {
		h.successes++
	}
	needed := uint64(cfg.SuccessThreshold)
	switch {
	case h.counts.Calls >= needed && cfg.TripsOnSlowCalls() && cfg.SlowCallRateThreshold.Reached(h.counts.Slow, h.counts.Calls):
		return Open, SlowCallRate, true
	case h.successes >= needed:
		return Closed, ProbesSucceeded, true
	default:
		return 0, 0, false
	}
}

// takeBack takes a probe that did not fail out of the counts, if there is one.
func (h *halfOpen) takeBack(e ending) {
	switch {
	case e.outcome == Success && h.successes > 0:
		h.successes--
	case e.outcome == Abandoned && h.counts.Calls > h.successes:
	default:
		return
	}
	h.counts.Calls--
	if e.slow && h.counts.Slow > 0 {
		h.counts.Slow--
	}
}

// holds tells whether the slot of a probe is still out.
func (h *halfOpen) holds(probe uint32) bool {
	return slices.ContainsFunc(h.slots, func(s slot) bool { return s.probe == probe })
}

// HoldsProbe tells whether the slot of the probe with that id, of which [Permit.Probe] told, is
// still out. It does not look at the clock: one whose lease is over holds it until somebody asks.
func (b *Breaker) HoldsProbe(id uint32) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state == HalfOpen && b.past.halfOpen.holds(id)
}

// ReleaseProbe frees the slot of the probe with that id, of which [Permit.Probe] told, if
// it is still out. Its outcome is then judged by nobody: it is only counted in the totals.
// An id that is not known does nothing. Another process gives the same ids to other probes.
func (b *Breaker) ReleaseProbe(id uint32, now Instant) {
	b.lock(now)
	if b.state == HalfOpen && b.past.halfOpen.land(id) {
		b.strays++
	}
	b.unlock()
}
