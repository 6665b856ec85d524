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
	Lasted   time.Duration // from the beginning of the call to its end; 0: it began when it ended
	Duration time.Duration // how long the service took; what makes the call slow
	// OneIn is how the proxy chose what to report at that time: all failures and slow
	// calls, and one of so many of the others, which stands for them. 0 and 1: everything.
	OneIn uint32
	// Generation is the breaker's when the call was admitted; 0: not known. Then it
	// is judged by the time at which it began.
	Generation uint64
	// Probe tells that a proxy let the call through as one of the probes, which it was
	// told to bound. In half-open it is judged like one that had a permit.
	Probe bool
	// Unsent tells that the call was sent to nobody; see [Permit.Unsent]. In half-open it is ignored.
	Unsent bool
	// Corrects says that the call had a permit, which was resolved as Was, at Settled,
	// before more was known. This report takes that back and counts in its place. A failure is
	// never taken back, and a success only if the call failed. Duration is then what the permit
	// was told, and OneIn has no meaning.
	Corrects bool
	Was      Outcome
	Settled  Instant // up to a second off
}

// Report takes outcomes that come in batches, and late. It sorts them by their time.
// Each counts in the part of the window in which its call ended, if that is still
// in it; one of an earlier generation, or that began before the present one, is only
// counted in the totals. In half-open only probes are judged, and where the mode is
// MetricsOnly, which admits all, the calls that began in it.
//
// Failures in a row trip the breaker when no success can be among them. Where
// successes are sampled, that takes a run so long that failures at the rate of before
// would hardly ever bring it about; until then the failure rate decides. A success that
// is taken back was never one: the failures before and after it are one run.
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
	e := b.endingLocked(o.Outcome, o.Duration)
	if o.Corrects {
		b.correctLocked(o, e, now)
		return
	}
	at, n := min(o.At, now), uint32(1)
	if e.outcome == Ignored || e.outcome == Success && !e.slow {
		n = max(1, min(o.OneIn, maxOneIn))
	}
	if o.Unsent && b.state == HalfOpen {
		e = ending{outcome: Ignored} // it stands for as many calls as what it was
	}
	b.addLocked(e, uint64(n))
	if e.outcome.Failed() {
		b.lastFailure = max(b.lastFailure, at)
	}
	watched := b.watchedLocked()
	switch {
	case b.state == Open && watched:
		b.past.wouldReject += uint64(n)
	case e.outcome == Ignored || b.state == Open || !b.ownLocked(o, now):
	case b.state == HalfOpen:
		if o.Probe || watched {
			b.judgeProbeLocked(e, now)
		}
	default:
		b.closed.window.addAt(e.call(), n, at)
		b.closed.reported(e.outcome, at, o.OneIn)
	}
}

// correctLocked counts a call as e, and takes back what its permit has counted.
func (b *Breaker) correctLocked(o *Reported, e ending, now Instant) {
	old, failed := b.endingLocked(o.Was, o.Duration), e.outcome.Failed()
	if o.Was.Failed() || o.Was == Success && !failed {
		return
	}
	at := min(o.At, now)
	b.correctTotalsLocked(old, e)
	if failed {
		b.lastFailure = max(b.lastFailure, at)
	}
	switch {
	case !b.ownLocked(o, now):
	case b.state == HalfOpen && o.Probe:
		b.past.halfOpen.takeBack(old)
		if e.outcome != Ignored {
			b.judgeProbeLocked(e, now)
		}
	case b.state == Closed:
		b.closed.window.correct(old, e, o.Settled, at)
		if o.Was != Success || !b.closed.takeBack(o.Settled, now) {
			b.closed.reported(e.outcome, at, 0)
		}
	}
}

// ownLocked tells whether the call of an outcome is of the present generation: by what is
// known of it, or else by the time at which it began.
func (b *Breaker) ownLocked(o *Reported, now Instant) bool {
	if o.Generation != 0 {
		return o.Generation == b.generation
	}
	// Before the first generation there was no other, even where a breaker is made when the
	// first of its calls is reported.
	return b.generation == 1 || min(o.At, now).Add(-max(o.Lasted, 0)) >= b.since
}

// Rejected counts n calls that a proxy has rejected by itself, as it was told to.
func (b *Breaker) Rejected(n uint64, now Instant) {
	b.lock(now)
	b.counts.rejected += n
	b.unlock()
}
