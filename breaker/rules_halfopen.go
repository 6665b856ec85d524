package breaker

import (
	"slices"
	"time"
)

// halfOpen is the memory of a half-open breaker: the probes in flight, and the outcomes of
// the others.
type halfOpen struct {
	until     Instant // the state ends then at the latest
	slots     []slot  // probes in flight; never more than the policy permits
	lastProbe uint32  // no id is used twice, over all half-open states
	counts    WindowCounts
	successes uint64  // among the calls in counts
	lost      uint64  // probes whose lease ran out
	resume    Instant // no probe is admitted before; after now when one was not sent
}

// slot is the lease of one probe.
type slot struct {
	probe    uint32
	deadline Instant
	away     bool // no permit of this engine resolves it; see [Engine.SettleProbe]
}

// unsentPause is how long no probe is admitted after one that was not sent.
const unsentPause = time.Second

// here returns how many probes in flight hold a permit of this engine.
func (h *halfOpen) here() (n uint32) {
	for _, s := range h.slots {
		if !s.away {
			n++
		}
	}
	return n
}

func (h *halfOpen) enter(until Instant) {
	*h = halfOpen{until: until, slots: h.slots[:0], lastProbe: h.lastProbe}
}

// admit returns the id of a new probe, or 0 when all permits are out.
func (h *halfOpen) admit(cfg *Config, now, deadline Instant) uint32 {
	if now < h.resume || len(h.slots) >= int(cfg.PermittedNumberOfCallsInHalfOpenState) {
		return 0
	}
	h.lastProbe = max(h.lastProbe+1, firstProbe)
	h.slots = append(h.slots, slot{probe: h.lastProbe, deadline: deadline})
	return h.lastProbe
}

// expire frees the slots whose lease has run out, and returns how many there were.
func (h *halfOpen) expire(now Instant) uint64 {
	before := len(h.slots)
	h.slots = slices.DeleteFunc(h.slots, func(s slot) bool { return now >= s.deadline })
	n := uint64(before - len(h.slots))
	h.lost += n
	return n
}

// land frees the slot of a probe, and returns what it was. held is false where the probe no
// longer held one.
func (h *halfOpen) land(probe uint32) (was slot, held bool) {
	i := slices.IndexFunc(h.slots, func(s slot) bool { return s.probe == probe })
	if i < 0 {
		return slot{}, false
	}
	was = h.slots[i]
	h.slots = slices.Delete(h.slots, i, i+1)
	return was, true
}

// holds reports whether a probe still holds its slot.
func (h *halfOpen) holds(probe uint32) bool {
	return slices.ContainsFunc(h.slots, func(s slot) bool { return s.probe == probe })
}

// asked reports whether the service was asked in this state, as far as that is known.
func (h *halfOpen) asked() bool { return h.counts.Calls > 0 || h.lost > 0 || len(h.slots) > 0 }

// ended takes the outcome of a probe.
func (h *halfOpen) ended(e ending) {
	if e.outcome == Ignored {
		return
	}
	h.counts.Calls++
	if e.slow {
		h.counts.Slow++
	}
	switch {
	case e.outcome.Failed():
		h.counts.Failures++
		h.counts.Run++
	case e.outcome == Success:
		h.successes++
	}
}

// judge returns where the probes so far lead; decided is false while that is open. Only
// successes lead to closed, and one failure is enough to lead to open.
func (h *halfOpen) judge(cfg *Config) (to State, why Reason, decided bool) {
	needed := uint64(cfg.SuccessThreshold)
	switch {
	case h.counts.Failures > 0:
		return Open, ProbeFailed, true
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

// expireLeasesLocked ends the leases of half-open that have run out.
func (b *Breaker) expireLeasesLocked(now Instant) {
	h := &b.past.halfOpen
	here := h.here()
	b.past.leasesExpired += h.expire(now)
	b.orphans += here - h.here()
}

// holdsProbe reports whether the probe whose permit has that mark still holds its slot. It does not look at the clock: a probe
// whose lease has run out holds its slot until the breaker is next used.
func (b *Breaker) holdsProbe(m mark) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return m.low() >= firstProbe && b.epochs.include(m) && b.past.halfOpen.holds(m.low())
}

// releaseProbeLocked frees the slot of the probe with that id, if the probe still holds it. The outcome of the probe is then
// counted in the totals only; see [Reported.Uploading].
func (b *Breaker) releaseProbeLocked(id uint32) {
	if b.state != HalfOpen {
		return
	}
	if was, held := b.past.halfOpen.land(id); held && !was.away {
		b.orphans++
	}
}
