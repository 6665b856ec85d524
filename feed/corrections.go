package feed

import (
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/wire"
)

// correction is the report on a request that had a permit, and that ended otherwise than the headers of its response said.
type correction struct {
	due    breaker.Instant
	target *target
	report breaker.Reported
}

const (
	// correctionDelay is how long a correction waits for the ext_proc stream of its request. That stream ends no later than the
	// request, and the permit has to be resolved before the correction can replace its outcome.
	correctionDelay = 100 * time.Millisecond
	// maxCorrections is how many corrections of one stream may wait. When there are more, the oldest go at once.
	maxCorrections = 16_384
)

// correct queues a correction for a request that had a permit, if its outcome is another than the one that its permit
// was resolved with.
func (w *worker) correct(to *target, x *wire.Ending, r *breaker.Reported, arrived breaker.Instant) {
	was := x.Settled(&to.rules)
	if !x.Corrects(was, r.Outcome) || !to.alwaysLogged(r.Outcome, x.Took) {
		w.server.counts.skipped.Add(1)
		return
	}
	w.server.counts.reported.Add(1)
	r.Corrects, r.Was, r.Probe, r.Settled = true, was, x.Probe, r.At
	if x.Probe || to.slow > 0 && x.Took >= to.slow {
		r.Settled = r.At.Add(min(w.entry.ResponseBegin-x.Lasted, 0)) // at the headers of the response
	}
	w.corrections = append(w.corrections, correction{arrived.Add(correctionDelay), to, *r})
}

// reportDue reports the corrections that are due by now, and those that are too many. It returns when the next one is due; ok is
// false where none is left.
func (w *worker) reportDue(now breaker.Instant) (next breaker.Instant, ok bool) {
	n := 0
	for ; n < len(w.corrections) && (w.corrections[n].due <= now || n < len(w.corrections)-maxCorrections); n++ {
		c := &w.corrections[n]
		if c.report.Outcome.Failed() && c.report.Was == breaker.Ignored {
			w.server.options.Observe(c.target.key, c.report.Duration, c.report.Lasted, 1)
		}
		w.server.options.Decider.Report(w.subject(c.target), []breaker.Reported{c.report}, now)
	}
	w.corrections = append(w.corrections[:0], w.corrections[n:]...)
	if len(w.corrections) == 0 {
		return 0, false
	}
	return w.corrections[0].due, true
}
