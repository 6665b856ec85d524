package breaker

import (
	"cmp"
	"slices"
	"time"
)

// Reported is one outcome that came without a permit, from the log of a proxy.
type Reported struct {
	Outcome  Outcome
	At       Instant       // when the call ended; what is later than the report is of its time
	Duration time.Duration // how long it took; what makes it slow
	// OneIn is how the proxy chose what to report at that time: all failures and slow
	// calls, and one of so many of the others, which stands for them. 0 and 1: everything.
	OneIn uint32
	// Generation is the breaker's when the call was admitted; 0: not known. Then it
	// is judged by its time.
	Generation uint64
	// Probe tells that a proxy let the call through as one of the probes, which it was
	// told to bound. In half-open it is judged like one that had a permit.
	Probe bool
}

// Report takes outcomes that come in batches, and late. It sorts them by their time.
// Each counts in the part of the window in which its call ended, if that is still
// in it; one of an earlier generation, or that ended before the present one began,
// is only counted in the totals. In half-open only probes are judged, and where the
// mode is MetricsOnly, which admits all, the calls that began in it.
//
// Failures in a row trip the breaker when no success can be among them. Where
// successes are sampled, that takes a run so long that failures at the rate of before
// would hardly ever bring it about; until then the failure rate decides.
//
// Where there is no such breaker, it does nothing.
func (e *Engine) Report(key Key, outcomes []Reported, now Instant) {
	b := e.Breaker(key)
	if b == nil {
		b = e.Node(key, key.Node, now)
	}
	if b != nil {
		b.Report(outcomes, now)
	}
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
		// What ended at the same instant is judged together.
		if b.state == Closed && (i+1 == len(outcomes) || outcomes[i+1].At > o.At) {
			b.judgeLocked(now)
		}
	}
	b.unlock()
}

// byTime orders outcomes. What ended at the same instant has no order; there a
// success comes last, and so ends a run rather than beginning one.
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
	at := min(o.At, now)
	c := call{failed: o.Outcome.Failed()}
	c.slow = b.spec.SlowCallDurationThreshold > 0 && o.Duration >= b.spec.SlowCallDurationThreshold
	n := uint32(1)
	if o.Outcome == Ignored || o.Outcome == Success && !c.slow {
		n = max(1, min(o.OneIn, maxOneIn))
	}
	b.counts.add(o.Outcome, c.slow, uint64(n))
	if c.failed {
		b.lastFailure = max(b.lastFailure, at)
	}
	watched := b.spec.Mode == MetricsOnly && b.pastLocked().override == nil
	switch {
	case b.state == Open && watched:
		b.past.wouldReject += uint64(n)
	case o.Outcome == Ignored || b.state == Open:
	case b.state == HalfOpen:
		if began := at.Add(-max(o.Duration, 0)); (o.Probe || watched) && b.ownLocked(o, began) {
			b.judgeProbeLocked(c, now)
		}
	case b.ownLocked(o, at):
		b.closed.window.addAt(c, n, at)
		b.closed.reported(c.failed, at, o.OneIn)
	}
}

// ownLocked tells whether an outcome is of the present generation: by what is known of
// it, or else by its time.
func (b *Breaker) ownLocked(o *Reported, at Instant) bool {
	if o.Generation != 0 {
		return o.Generation == b.generation
	}
	return at >= b.since
}

// Rejected counts n calls that a proxy has rejected by itself, as it was told to.
func (b *Breaker) Rejected(n uint64, now Instant) {
	b.lock(now)
	b.counts.rejected += n
	b.unlock()
}
