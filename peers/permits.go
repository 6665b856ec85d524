package peers

import (
	"context"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/peers/internal/calls"
	"breakwater.dev/peers/internal/convert"
	"breakwater.dev/peers/internal/core"
	"breakwater.dev/peers/internal/outbox"
	"breakwater.dev/peers/internal/peerspb"
)

// Acquire implements [breaker.Decider]. This replica decides by its mirror about a breaker that is elsewhere and not half-open.
func (r *Router) Acquire(ctx context.Context, s breaker.Subject, uploading bool, now breaker.Instant) (breaker.Lease, breaker.Decision) {
	at := r.core.Find(s.Key)
	if at == nil || at.Here() {
		return r.acquireHere(ctx, s, at, uploading, now)
	}
	l, d, asks := r.byMirror(s, now)
	if !asks {
		return l, d
	}
	answer := make(chan calls.Answer, 1)
	id := r.ask(s, now, func(a calls.Answer) { answer <- a })
	timer := time.NewTimer(calls.Timeout)
	defer timer.Stop()
	select {
	case a := <-answer:
		return r.answered(s, a, now)
	case <-timer.C:
	case <-ctx.Done():
	}
	if !r.abandon(id) { // the answer has just come
		return r.answered(s, <-answer, now)
	}
	r.Rejected(s, 1, now)
	return nil, calls.Refused.Decision
}

// acquireHere asks this replica's engine.
func (r *Router) acquireHere(ctx context.Context, s breaker.Subject, at *core.Place, uploading bool, now breaker.Instant) (breaker.Lease, breaker.Decision) {
	permit, d := r.local.Acquire(ctx, s, uploading, now)
	if !d.Admitted || at == nil {
		return permit, d
	}
	id := permit.Probe()
	if id != 0 && !r.granted(s.Key, now) { // in the mode MetricsOnly the call goes on
		if d = permit.Refuse(now); !d.Admitted {
			return nil, d
		}
		id = 0
	}
	return &calls.Lease{
		Host: host{r}, Subject: s, Began: now, ID: id, Permit: permit,
		Stays: func() bool { return r.core.Find(s.Key) == at && at.Here() },
	}, d
}

// granted reports whether a probe that the engine has admitted may be made.
func (r *Router) granted(key breaker.Key, now breaker.Instant) bool {
	r.mu.Lock()
	defer r.unlock()
	r.core.Awake(now)
	if r.core.MayGrant(key, now) {
		return true
	}
	r.withheld++
	return false
}

// byMirror decides about a call by the mirror of its breaker. asks means that the owner has to be asked.
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
		r.core.Pass(&outbox.Item{Subject: s, Rejected: 1}, now)
		return nil, d, false
	}
	d.Admitted = true
	one := &calls.Lease{Host: host{r}, Subject: s, Began: now, Generation: status.Generation}
	if status.Config.TripsOnSlowCalls() && status.State == breaker.Closed {
		r.running.Add(one, status.Config.SlowCallDurationThreshold)
	}
	return one, d, false
}

// ask asks the owner of a breaker for a permit. done gets the answer, without a lock; there may be none.
func (r *Router) ask(s breaker.Subject, now breaker.Instant, done func(calls.Answer)) (id uint64) {
	r.mu.Lock()
	defer r.unlock()
	id = r.core.NewID()
	answer := func(a calls.Answer) { r.core.Later(func() { done(a) }) }
	switch at := r.core.Find(s.Key); {
	case at == nil:
		answer(calls.Answer{Unknown: true, Decision: breaker.Decision{Admitted: true}})
	case at.Here():
		answer(r.decide(s, now))
	case at.To == "":
		r.withheld++
		answer(calls.Refused)
	default:
		r.asked++
		r.asks.Add(id, s, now, done)
		r.core.SendTo(at.To, &peerspb.Message{Kind: &peerspb.Message_Ask{Ask: &peerspb.Ask{Id: id, Key: convert.Key(s.Key), Owner: s.Owner}}})
	}
	return id
}

// abandon says that the caller has stopped to wait for an answer. It reports false where the answer was given.
func (r *Router) abandon(id uint64) bool {
	r.mu.Lock()
	defer r.unlock()
	abandoned := r.asks.Abandon(id)
	if abandoned {
		r.unanswered++
	}
	return abandoned
}

// answered returns the lease for an answer that has come.
func (r *Router) answered(s breaker.Subject, a calls.Answer, now breaker.Instant) (breaker.Lease, breaker.Decision) {
	switch {
	case a.Unknown:
		return &breaker.Permit{}, a.Decision
	case !a.Admitted:
		return nil, a.Decision
	}
	return &calls.Lease{Host: host{r}, Subject: s, Began: now, Generation: a.Generation, ID: a.Probe}, a.Decision
}

// decide asks this replica's engine, for another replica.
func (r *Router) decide(s breaker.Subject, now breaker.Instant) calls.Answer {
	status, known := r.o.Engine.Status(s.Key, now)
	if !known && s.Key.Node != "" {
		status, known = r.o.Engine.Status(core.Shared(s.Key), now)
	}
	if !known {
		return calls.Answer{Unknown: true, Decision: breaker.Decision{Admitted: true}}
	}
	a := calls.Answer{Generation: status.Generation, Decision: breaker.Decision{State: status.State, RetryAfter: status.RetryAfter}}
	switch {
	case status.State == breaker.Closed || !status.Rejects():
		a.Admitted = true // the other replica reports how it ended
		return a
	case status.State == breaker.Open:
		r.local.Rejected(s, 1, now)
		return a
	case !r.core.MayGrant(s.Key, now):
		r.withheld++
		r.local.Rejected(s, 1, now)
		return a
	}
	if s.Key.Node != "" {
		r.local.Report(s, nil, now) // makes the breaker of the proxy
	}
	a.Probe, a.Generation, a.Decision = r.o.Engine.AcquireProbe(s.Key, now)
	return a
}

func (r *Router) tookAsk(p *core.Peer, m *peerspb.Ask, now breaker.Instant) {
	s := breaker.Subject{Key: convert.KeyOf(m.GetKey()), Owner: m.GetOwner()}
	a := calls.Refused
	switch at := r.core.Find(s.Key); {
	case at == nil:
		a = calls.Answer{Unknown: true, Decision: breaker.Decision{Admitted: true}}
	case at.Here() && !r.core.InDoubt(now):
		a = r.decide(s, now)
	case at.To != "" && m.GetHops() < core.MaxHops: // the replica that asks does not know the owner, or does not reach it
		id, to := r.core.NewID(), m.GetId()
		r.asks.Add(id, s, now, func(a calls.Answer) {
			r.mu.Lock()
			defer r.unlock()
			r.answer(p, to, a)
		})
		r.core.SendTo(at.To, &peerspb.Message{Kind: &peerspb.Message_Ask{Ask: &peerspb.Ask{Id: id, Key: m.GetKey(), Owner: s.Owner, Hops: m.GetHops() + 1}}})
		return
	default:
		r.withheld++
	}
	r.answer(p, m.GetId(), a)
}

func (r *Router) answer(p *core.Peer, id uint64, a calls.Answer) {
	r.core.Send(p, &peerspb.Message{Kind: &peerspb.Message_Answer{Answer: &peerspb.Answer{
		Id: id, Admitted: a.Admitted, State: int32(a.State), RetryAfter: int64(a.RetryAfter), Probe: a.Probe, Generation: a.Generation, Unknown: a.Unknown,
	}}})
}

func (r *Router) tookAnswer(m *peerspb.Answer, now breaker.Instant) {
	if !convert.IsState(m.GetState()) {
		return
	}
	s, done, a, late := r.asks.Take(m.GetId(), calls.Answer{
		Decision: breaker.Decision{Admitted: m.GetAdmitted(), State: breaker.State(m.GetState()), RetryAfter: time.Duration(m.GetRetryAfter())},
		Probe:    m.GetProbe(), Generation: m.GetGeneration(), Unknown: m.GetUnknown(),
	}, now)
	if late {
		r.core.Pass(&outbox.Item{Subject: s, Settled: []outbox.Settled{{Probe: m.GetProbe(), Outcome: breaker.Ignored}}}, now)
	}
	if done != nil {
		r.core.Later(func() { done(a) })
	}
}
