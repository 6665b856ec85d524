package breaker

import "slices"

// halfOpen is what a half-open breaker knows: the probes in flight and what
// became of the others.
type halfOpen struct {
	until     Instant
	slots     []slot // probes in flight; never more than are permitted
	lastProbe uint64 // ids are never used twice, over all half-open phases
	successes uint32
	counts    WindowCounts
}

// slot is the lease of one probe.
type slot struct {
	probe    uint64
	deadline Instant
}

func (h *halfOpen) enter(until Instant) (due Instant) {
	*h = halfOpen{until: until, slots: h.slots[:0], lastProbe: h.lastProbe}
	return until
}

// admit returns the id of a new probe, or 0 when all permits are out.
func (h *halfOpen) admit(cfg *Config, deadline Instant) uint64 {
	if len(h.slots) >= int(cfg.PermittedNumberOfCallsInHalfOpenState) {
		return 0
	}
	h.lastProbe++
	h.slots = append(h.slots, slot{probe: h.lastProbe, deadline: deadline})
	return h.lastProbe
}

// expire frees the slots whose lease has run out and returns how many there were.
func (h *halfOpen) expire(now Instant) uint64 {
	before := len(h.slots)
	h.slots = slices.DeleteFunc(h.slots, func(s slot) bool { return now >= s.deadline })
	return uint64(before - len(h.slots))
}

// verdict is what the probes so far say.
type verdict uint8

const (
	undecided verdict = iota
	probesFailed
	probesSucceeded
)

// record takes the outcome of a probe. One whose lease ran out says nothing any
// more; an ignored one gives its slot back and says nothing.
func (h *halfOpen) record(cfg *Config, probe uint64, o Outcome) verdict {
	i := slices.IndexFunc(h.slots, func(s slot) bool { return s.probe == probe })
	if i < 0 {
		return undecided
	}
	h.slots = slices.Delete(h.slots, i, i+1)
	switch {
	case o == Ignored:
		return undecided
	case o.Failed():
		h.counts.Calls++
		h.counts.Failures++
		h.counts.Run++
		return probesFailed
	}
	h.counts.Calls++
	h.counts.Run = 0
	h.successes++
	if h.successes >= cfg.SuccessThreshold {
		return probesSucceeded
	}
	return undecided
}
