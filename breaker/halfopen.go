package breaker

import "slices"

// halfOpen is what a half-open breaker knows: the probes in flight and what
// became of the others.
type halfOpen struct {
	until     Instant
	slots     []slot // probes in flight; never more than are permitted
	lastProbe uint32 // ids are never used twice, over all half-open phases
	counts    WindowCounts
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

// admit returns the id of a new probe, or 0 when all permits are out.
func (h *halfOpen) admit(cfg *Config, deadline Instant) uint32 {
	if len(h.slots) >= int(cfg.PermittedNumberOfCallsInHalfOpenState) {
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
	return uint64(before - len(h.slots))
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

// judge takes what became of a probe, and returns where the probes so far lead;
// ok is false while they are undecided.
func (h *halfOpen) judge(cfg *Config, c call) (to State, why Reason, ok bool) {
	h.counts.Calls++
	if c.slow {
		h.counts.Slow++
	}
	if c.failed {
		h.counts.Failures++
		h.counts.Run++
		return Open, ProbeFailed, true
	}
	h.counts.Run = 0
	switch {
	case h.counts.Calls < uint64(cfg.SuccessThreshold):
		return 0, 0, false
	case cfg.TripsOnSlowCalls() && cfg.SlowCallRateThreshold.Reached(h.counts.Slow, h.counts.Calls):
		return Open, SlowCallRate, true
	default:
		return Closed, ProbesSucceeded, true
	}
}
