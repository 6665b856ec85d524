package breaker

import (
	"cmp"
	"slices"
	"time"
)

// Reported is one entry of a proxy's log: an outcome or, with Running or Uploading, news of a
// call that has not ended.
type Reported struct {
	Outcome Outcome
	// At is when the call ended. A time after the report counts as the time of the report.
	At       Instant
	Lasted   time.Duration // from the beginning of the call to its end; 0: it began when it ended
	Duration time.Duration // how long the service took, which decides whether the call was slow
	// OneIn says how the proxy sampled at that time. It reported all failures and slow calls,
	// and one in OneIn of the other calls, which stands for all of these. At 0 and 1 it
	// reported every call. So a run of failures that ends with enough of these is certain.
	OneIn uint32
	// Generation is the generation of the breaker when it admitted the call. 0: not
	// known; then the time at which the call began decides.
	Generation uint64
	// Probe says that a proxy let the call through as a probe, under the bound that the
	// proxy was given. In half-open it counts like a probe that had a permit.
	Probe bool
	// Unsent says that the call was not sent; see [Permit.Unsent]. In half-open it is ignored.
	Unsent bool
	// Corrects says that the call had a permit, which was resolved as Was at Settled,
	// before more was known. The report takes that back and counts in its place. A failure
	// is never taken back, and a success only if the call failed. Duration is then the
	// duration with which the permit was resolved, and OneIn has no meaning.
	Corrects bool
	Was      Outcome
	Settled  Instant // may be up to a second off
	// Running says that the call has not ended, and that At is when it was seen to have lasted
	// for Lasted, and the service to have taken Duration so far. If that makes the call slow,
	// the window of a closed breaker counts it as slow from now on. Totals count a call when
	// it ends. The other fields have no meaning then, except Generation.
	Running bool
	// Early says that the call was reported as Running before. Its outcome takes the place of
	// the slow call in the window. The call must have begun at the same instant, which is At
	// less Lasted, as in the report before. It stands for itself, whatever OneIn says.
	Early bool
	// Uploading is the id of a probe whose request has not ended, as [Permit.Probe] returned it; 0: none. The probe
	// gives up its slot, since the time that passes is the caller's, and its outcome will change no
	// state. The other fields have no meaning then. An id that is not known does nothing. In another
	// process the same id belongs to another probe, unless the breaker was handed over.
	Uploading uint32
}

// maxOneIn bounds what one success can stand for.
const maxOneIn = 1_000_000

// Report is [Engine.Report] for a breaker that was looked up.
func (b *Breaker) Report(outcomes []Reported, now Instant) {
	slices.SortFunc(outcomes, byTime)
	b.lock(now)
	for i := range outcomes {
		o := &outcomes[i]
		b.reportLocked(o, now)
		// Calls that ended at the same instant are judged together.
		if b.state == Closed && (i+1 == len(outcomes) || outcomes[i+1].At > o.At) {
			b.judgeLocked(now)
		}
	}
	b.unlock()
}

// byTime orders outcomes. Calls that ended at the same instant have no order; a success
// comes last among them, so that it ends a run and does not begin one.
func byTime(x, y Reported) int {
	if x.At != y.At || x.Outcome.Failed() == y.Outcome.Failed() {
		return cmp.Compare(x.At, y.At)
	}
	if x.Outcome.Failed() {
		return -1
	}
	return 1
}

func (b *Breaker) reportLocked(o *Reported, now Instant) {
	if o.Uploading != 0 {
		b.releaseProbeLocked(o.Uploading)
		return
	}
	e := b.endingLocked(o.Outcome, o.Duration)
	if o.Corrects {
		b.correctLocked(o, e, now)
		return
	}
	at, n := min(o.At, now), uint32(1)
	if o.Running {
		if b.state == Closed && e.slow && b.ownLocked(o, now) {
			b.closed.window.early(1, at)
		}
		return
	}
	if !o.Early && (e.outcome == Ignored || e.outcome == Success && !e.slow) {
		n = max(1, min(o.OneIn, maxOneIn))
	}
	if o.Unsent && b.state == HalfOpen {
		e = ending{outcome: Ignored} // it stands for as many calls as before
	}
	b.addLocked(e, uint64(n))
	if e.outcome.Failed() {
		b.lastFailure = max(b.lastFailure, at)
	}
	switch b.state {
	case Closed:
		if b.ownLocked(o, now) {
			b.closed.told(e, o, n, at)
		}
	case HalfOpen:
		if (o.Probe || b.watchOnlyLocked()) && b.ownLocked(o, now) {
			b.endedLocked(e, false, now)
		}
	case Open:
		if b.watchOnlyLocked() {
			b.past.wouldReject += uint64(n)
		}
	}
}

// told takes the outcome of n calls that were reported, and that ended at an instant.
func (c *closed) told(e ending, o *Reported, n uint32, at Instant) {
	switch kind := e.call(); {
	case o.Early:
		c.window.settle(kind, at)
	case kind != nil:
		c.window.addAt(*kind, n, at)
	}
	c.reported(e.outcome, at, o.OneIn)
}

// ownLocked reports whether a call belongs to the present generation: by the generation
// that is known of it, or else by the time at which it began.
func (b *Breaker) ownLocked(o *Reported, now Instant) bool {
	if o.Generation != 0 {
		return o.Generation == b.generation
	}
	// The first generation has none before it, also where a breaker is made only when
	// the first of its calls is reported.
	return b.generation == 1 || min(o.At, now).Add(-max(o.Lasted, 0)) >= b.since
}

// Rejected counts n calls that a proxy has rejected by itself, by the breaker's gate.
func (b *Breaker) Rejected(n uint64, now Instant) {
	b.lock(now)
	b.counts.rejected += n
	b.unlock()
}
