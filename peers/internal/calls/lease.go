package calls

import (
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/peers/internal/outbox"
)

// Host finds breakers.
type Host interface {
	// Report tells the breaker of an item, wherever it is now.
	Report(i *outbox.Item, now breaker.Instant)
}

// Lease is the permit of a call. It implements [breaker.Lease].
type Lease struct {
	Host    Host
	Subject breaker.Subject
	Began   breaker.Instant
	// Generation is the breaker's when it admitted the call; 0: not known.
	Generation uint64
	// ID is the id of a probe; 0: the call is no probe.
	ID uint32
	// Permit comes from this replica's engine, which decides as long as Stays returns true; nil: another replica has admitted the call.
	Permit breaker.Lease
	Stays  func() bool
	// Running has the call if it becomes slow when it goes on; nil: it has not.
	Running *Running

	slowAt breaker.Instant
	listed bool // guarded by Running
	early  bool // it was reported as slow while it was running; guarded by Running
	done   bool
}

// here reports whether the engine that gave the permit still decides.
func (l *Lease) here() bool { return l.Permit != nil && l.Stays() }

// Settle implements [breaker.Lease].
func (l *Lease) Settle(o breaker.Outcome, took time.Duration, now breaker.Instant) {
	switch {
	case l.done:
	case l.here():
		l.done = true
		l.Permit.Settle(o, took, now)
	default:
		l.report(o, took, false, now)
	}
}

// Unsent implements [breaker.Lease].
func (l *Lease) Unsent(o breaker.Outcome, took time.Duration, now breaker.Instant) {
	switch {
	case l.done:
	case l.here():
		l.done = true
		l.Permit.Unsent(o, took, now)
	default:
		l.report(o, took, true, now)
	}
}

func (l *Lease) report(o breaker.Outcome, took time.Duration, unsent bool, now breaker.Instant) {
	l.done = true
	if l.Permit != nil {
		l.Permit.Forget(now)
	}
	early := l.Running.remove(l)
	i := &outbox.Item{Subject: l.Subject}
	if l.ID != 0 {
		i.Settled = []outbox.Settled{{Probe: l.ID, Outcome: o, Took: took, Unsent: unsent}}
	} else {
		i.Outcomes = []breaker.Reported{{
			Outcome: o, At: now, Lasted: now.Sub(l.Began), Duration: took, Generation: l.Generation, Unsent: unsent, Early: early,
		}}
	}
	l.Host.Report(i, now)
}

// Refuse implements [breaker.Lease].
func (l *Lease) Refuse(now breaker.Instant) breaker.Decision {
	switch {
	case l.done || l.ID == 0:
		return breaker.Decision{Admitted: true}
	case l.here():
		d := l.Permit.Refuse(now)
		l.done, l.ID = !d.Admitted, 0
		return d
	default:
		l.report(breaker.Ignored, 0, false, now)
		return breaker.Decision{State: breaker.HalfOpen}
	}
}

// Forget implements [breaker.Lease].
func (l *Lease) Forget(now breaker.Instant) {
	if l.done {
		return
	}
	l.done = true
	l.Running.remove(l)
	if l.Permit != nil {
		l.Permit.Forget(now)
	}
}

// Answered implements [breaker.Lease].
func (l *Lease) Answered(now breaker.Instant) {
	if l.here() {
		l.Permit.Answered(now)
		return
	}
	l.Running.remove(l)
}

// Probe implements [breaker.Lease].
func (l *Lease) Probe() uint32 {
	if l.done {
		return 0
	}
	return l.ID
}

// Held implements [breaker.Lease]. This replica does not know whether the time of a probe is over whose breaker is elsewhere, so it
// counts as one that holds its slot.
func (l *Lease) Held() bool {
	if l.here() {
		return l.Permit.Held()
	}
	return !l.done && l.ID != 0
}
