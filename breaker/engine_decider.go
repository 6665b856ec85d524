package breaker

import (
	"context"
	"time"
)

// Decider decides about calls for callers that know a breaker by its key: ext_proc, the
// feed, gates. [Engine.Decider] decides by the breakers of this process. All methods are
// safe for concurrent use.
type Decider interface {
	// Acquire asks for a permit. It returns a lease if the call is admitted, and nil if
	// not. Where there is no such breaker, the call is admitted and its lease does nothing.
	// uploading says that the request has not ended; see [Breaker.AcquireUploading].
	Acquire(ctx context.Context, s Subject, uploading bool, now Instant) (Lease, Decision)
	// Report takes what proxies log of calls; see [Reported] and [Engine.Report].
	Report(s Subject, outcomes []Reported, now Instant)
	// Rejected counts n calls that a proxy has rejected by itself, by the breaker's gate.
	Rejected(s Subject, n uint64, now Instant)
	// Status returns the status of a breaker; known is false where there is no such breaker.
	Status(key Key, now Instant) (s Status, known bool)
}

// Subject says which breaker a proxy asks, or reports to.
type Subject struct {
	// Key is the key of the breaker. If it has a node, and each proxy has a breaker of its
	// own, it means the breaker of that proxy, which is made if there is none yet.
	Key Key
	// Owner is the identity in the proxy's certificate, which bounds how many breakers are
	// made for it. Empty: not known.
	Owner string
}

// Lease is a permit of a [Decider], which may be another process. *[Permit] implements it and
// documents the methods. A lease has one owner, who calls its methods one at a time.
type Lease interface {
	Settle(o Outcome, took time.Duration, now Instant)
	Unsent(o Outcome, took time.Duration, now Instant)
	Refuse(now Instant) Decision
	Forget(now Instant)
	Answered(now Instant)
	Probe() uint32
	// Held reports whether the call is a probe that still holds its slot.
	Held() bool
}

// Decider returns the engine as a [Decider].
func (e *Engine) Decider() Local { return Local{e} }

// Local is an engine as a [Decider]: it decides by the breakers of this process.
type Local struct{ *Engine }

// breaker returns the breaker of a subject, or nil.
func (d Local) breaker(s *Subject, now Instant) *Breaker {
	if s.Key.Node == "" {
		return d.Breaker(s.Key)
	}
	return d.nodeOf(s.Key, s.Key.Node, s.Owner, now)
}

// Acquire implements [Decider].
func (d Local) Acquire(_ context.Context, s Subject, uploading bool, now Instant) (Lease, Decision) {
	b := d.breaker(&s, now)
	if b == nil {
		return &Permit{}, Decision{Admitted: true, State: Closed}
	}
	var permit Permit
	var decision Decision
	if uploading {
		permit, decision = b.AcquireUploading(now)
	} else {
		permit, decision = b.Acquire(now)
	}
	if !decision.Admitted {
		return nil, decision
	}
	lease := permit // a rejected call allocates nothing
	return &lease, decision
}

// Report implements [Decider].
func (d Local) Report(s Subject, outcomes []Reported, now Instant) {
	if b := d.breaker(&s, now); b != nil {
		b.Report(outcomes, now)
	}
}

// Rejected implements [Decider].
func (d Local) Rejected(s Subject, n uint64, now Instant) {
	if b := d.breaker(&s, now); b != nil {
		b.Rejected(n, now)
	}
}

// Status returns the status of the breaker of key at now; known is false where there is no
// such breaker. A key with a node means a breaker that [Engine.Node] has made.
func (e *Engine) Status(key Key, now Instant) (s Status, known bool) {
	b := e.Breaker(key)
	if b == nil {
		return Status{}, false
	}
	return b.Status(now), true
}

// Held implements [Lease].
func (p *Permit) Held() bool { return p.cell != nil && p.cell.breaker.holdsProbe(p.mark) }
