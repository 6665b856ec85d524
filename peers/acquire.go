package peers

import (
	"context"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/peers/internal/outbox"
)

// askTimeout is how long the owner of a breaker may take to answer. Then the call is decided as if all permits were out. A proxy
// waits 200 ms for its answer.
const askTimeout = 100 * time.Millisecond

// Acquire implements [breaker.Decider]. A breaker that is elsewhere and not half-open is decided by its mirror.
func (r *Router) Acquire(ctx context.Context, s breaker.Subject, uploading bool, now breaker.Instant) (breaker.Lease, breaker.Decision) {
	at := r.find(s.Key)
	if at == nil || at.here() {
		return r.acquireHere(ctx, s, at, uploading, now)
	}
	l, d, asks := r.byMirror(s, now)
	if !asks {
		return l, d
	}
	answer := make(chan Answer, 1)
	id := r.Ask(s, now, func(a Answer) { answer <- a })
	timer := time.NewTimer(askTimeout)
	defer timer.Stop()
	select {
	case a := <-answer:
		return r.Answered(s, a, now)
	case <-timer.C:
	case <-ctx.Done():
	}
	if !r.abandon(id) { // the answer has just come
		return r.Answered(s, <-answer, now)
	}
	r.Rejected(s, 1, now)
	return nil, breaker.Decision{State: breaker.HalfOpen}
}

// acquireHere asks this replica's engine.
func (r *Router) acquireHere(ctx context.Context, s breaker.Subject, at *place, uploading bool, now breaker.Instant) (breaker.Lease, breaker.Decision) {
	l, d := r.local.Acquire(ctx, s, uploading, now)
	if !d.Admitted {
		return nil, d
	}
	probe := l.Probe()
	if probe == 0 {
		return &lease{router: r, subject: s, at: at, permit: l, began: now}, d
	}
	if !r.granted(s.Key, now) {
		return refuse(l, now)
	}
	return &lease{router: r, subject: s, at: at, permit: l, began: now, probe: probe}, d
}

// granted reports whether a probe that the engine has admitted may be made.
func (r *Router) granted(key breaker.Key, now breaker.Instant) bool {
	r.mu.Lock()
	defer r.unlock()
	r.awake(now)
	if r.mayGrant(key, now) {
		return true
	}
	r.stats.withheld.Add(1)
	return false
}

// refuse gives a permit back. In the mode MetricsOnly the call goes on.
func refuse(l breaker.Lease, now breaker.Instant) (breaker.Lease, breaker.Decision) {
	d := l.Refuse(now)
	if !d.Admitted {
		return nil, d
	}
	return l, d
}

// byMirror decides about a call by what is known of the breaker. asks means that the owner has to be asked.
func (r *Router) byMirror(s breaker.Subject, now breaker.Instant) (l breaker.Lease, d breaker.Decision, asks bool) {
	r.mu.Lock()
	defer r.unlock()
	status, known := r.status(s.Key, now)
	if !known {
		return &breaker.Permit{}, breaker.Decision{Admitted: true}, false
	}
	rejects := status.Rejects()
	d = breaker.Decision{State: status.State, RetryAfter: status.RetryAfter}
	switch {
	case status.State == breaker.HalfOpen && rejects:
		return nil, d, true
	case status.State == breaker.Open && rejects, status.State == breaker.Closed && rejects && !r.admits(s.Key, &status):
		r.pass(&outbox.Item{Subject: s, Rejected: 1}, now)
		return nil, d, false
	}
	d.Admitted = true
	return r.remote(s, &status, now), d, false
}

// admits reports whether a closed breaker that is elsewhere admits one more call: in the ramp it is a share of them.
func (r *Router) admits(key breaker.Key, s *breaker.Status) bool {
	m := r.mirrors[key]
	if m == nil || s.Admits >= breaker.Whole {
		return true
	}
	m.credit += s.Admits
	if m.credit < breaker.Whole {
		return false
	}
	m.credit -= breaker.Whole
	return true
}

// remote returns the lease of a call that a closed breaker elsewhere admits.
func (r *Router) remote(s breaker.Subject, status *breaker.Status, now breaker.Instant) *lease {
	l := &lease{router: r, subject: s, began: now, generation: status.Generation}
	if status.Config.TripsOnSlowCalls() && status.State == breaker.Closed {
		r.running.add(l, now.Add(status.Config.SlowCallDurationThreshold))
	}
	return l
}
