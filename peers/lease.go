package peers

import (
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/peers/internal/outbox"
)

// lease is the permit of a call, wherever its breaker is. It implements [breaker.Lease].
type lease struct {
	router     *Router
	subject    breaker.Subject
	began      breaker.Instant
	generation uint64
	probe      uint32 // 0: the call is no probe
	done       bool

	// permit is that of this replica's engine, as long as the breaker stays at its place; nil: the breaker is elsewhere.
	permit breaker.Lease
	at     *place

	// For calls that may become slow; guarded by the router.
	listed bool
	slowAt breaker.Instant
	early  bool // it was reported as slow while it was running
}

// here reports whether the engine that gave the permit still is the breaker.
func (l *lease) here() bool {
	return l.permit != nil && (l.at == nil || l.router.find(l.subject.Key) == l.at && l.at.here())
}

// Settle implements [breaker.Lease].
func (l *lease) Settle(o breaker.Outcome, took time.Duration, now breaker.Instant) {
	if l.done {
		return
	}
	l.done = true
	if l.here() {
		l.permit.Settle(o, took, now)
		return
	}
	l.report(o, took, false, now)
}

// Unsent implements [breaker.Lease].
func (l *lease) Unsent(o breaker.Outcome, took time.Duration, now breaker.Instant) {
	if l.done {
		return
	}
	l.done = true
	if l.here() {
		l.permit.Unsent(o, took, now)
		return
	}
	l.report(o, took, true, now)
}

func (l *lease) report(o breaker.Outcome, took time.Duration, unsent bool, now breaker.Instant) {
	r := l.router
	r.mu.Lock()
	defer r.unlock()
	r.running.remove(l)
	if l.probe != 0 {
		r.pass(&outbox.Item{Subject: l.subject, Settled: []outbox.Settled{{Probe: l.probe, Outcome: o, Took: took, Unsent: unsent}}}, now)
		return
	}
	r.pass(&outbox.Item{Subject: l.subject, Outcomes: []breaker.Reported{{
		Outcome: o, At: now, Lasted: now.Sub(l.began), Duration: took, Generation: l.generation, Unsent: unsent, Early: l.early,
	}}}, now)
}

// Refuse implements [breaker.Lease].
func (l *lease) Refuse(now breaker.Instant) breaker.Decision {
	switch {
	case l.done || l.probe == 0:
		return breaker.Decision{Admitted: true}
	case l.here():
		d := l.permit.Refuse(now)
		l.done, l.probe = !d.Admitted, 0
		return d
	}
	l.Settle(breaker.Ignored, 0, now)
	return breaker.Decision{State: breaker.HalfOpen}
}

// Answered implements [breaker.Lease].
func (l *lease) Answered(now breaker.Instant) {
	if l.here() {
		l.permit.Answered(now)
		return
	}
	l.router.mu.Lock()
	defer l.router.unlock()
	l.router.running.remove(l)
}

// Probe implements [breaker.Lease].
func (l *lease) Probe() uint32 {
	if l.done {
		return 0
	}
	return l.probe
}

// Held implements [breaker.Lease]. Of a probe whose breaker is elsewhere it is not known whether its time is over, so it
// counts as one that holds its slot.
func (l *lease) Held() bool {
	if l.here() {
		return l.permit.Held()
	}
	return !l.done && l.probe != 0
}

// running lists the calls of breakers elsewhere that will be slow if they go on. They are not in order, since breakers
// differ in how long that takes.
type running struct{ byTime map[time.Duration]*queue }

// queue has the calls of one threshold, in the order in which they began.
type queue struct{ calls []*lease }

func (q *running) add(l *lease, slowAt breaker.Instant) {
	if q.byTime == nil {
		q.byTime = map[time.Duration]*queue{}
	}
	threshold := slowAt.Sub(l.began)
	of := q.byTime[threshold]
	if of == nil {
		of = &queue{}
		q.byTime[threshold] = of
	}
	l.listed, l.slowAt = true, slowAt
	of.calls = append(of.calls, l)
}

// remove takes a call out when it has ended. Its place in the queue goes with the next look.
func (q *running) remove(l *lease) { l.listed = false }

// slow reports the calls that have become slow.
func (r *Router) slow(now breaker.Instant) {
	for threshold, q := range r.running.byTime {
		for len(q.calls) > 0 && (!q.calls[0].listed || q.calls[0].slowAt <= now) {
			if l := q.calls[0]; l.listed {
				l.listed, l.early = false, true
				r.pass(&outbox.Item{Subject: l.subject, Outcomes: []breaker.Reported{{
					Running: true, At: now, Lasted: now.Sub(l.began), Duration: now.Sub(l.began), Generation: l.generation,
				}}}, now)
			}
			q.calls[0] = nil
			q.calls = q.calls[1:]
		}
		if len(q.calls) == 0 {
			delete(r.running.byTime, threshold)
		}
	}
}
