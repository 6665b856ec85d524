package peers

import (
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/peers/internal/convert"
	"breakwater.dev/peers/internal/outbox"
	"breakwater.dev/peers/internal/peerspb"
)

// ask is a call that waits for the answer of the breaker's owner.
type ask struct {
	subject breaker.Subject
	done    func(Answer)
	at      breaker.Instant
}

// Answer is what the owner of a breaker says to a call.
type Answer struct {
	breaker.Decision
	Probe      uint32 // 0: the call is no probe
	Generation uint64
	Unknown    bool // the owner has no such breaker
}

// forgotten is how long an answer may take that is given back. It covers any time that a message can be under way.
const forgotten = 10 * time.Second

// Ask asks the owner of a breaker for a permit. done gets the answer, on another goroutine, without a lock; it may get none.
func (r *Router) Ask(s breaker.Subject, now breaker.Instant, done func(Answer)) (id uint64) {
	r.mu.Lock()
	defer r.unlock()
	id = r.id()
	r.asks[id] = &ask{s, done, now}
	at := r.find(s.Key)
	switch {
	case at == nil:
		r.answered(id, Answer{Unknown: true, Decision: breaker.Decision{Admitted: true}})
	case at.here():
		r.answered(id, r.decide(s, now))
	case at.to == "":
		r.stats.withheld.Add(1)
		r.answered(id, Answer{Decision: breaker.Decision{State: breaker.HalfOpen}})
	default:
		r.stats.asked.Add(1)
		r.sendTo(at.to, &peerspb.Message{Kind: &peerspb.Message_Ask{Ask: &peerspb.Ask{Id: id, Key: convert.Key(s.Key), Owner: s.Owner}}})
	}
	return id
}

// abandon says that nobody waits for an answer any more. It reports false where the answer was given.
func (r *Router) abandon(id uint64) bool {
	r.mu.Lock()
	defer r.unlock()
	a := r.asks[id]
	if a == nil {
		return false
	}
	r.stats.unanswered.Add(1)
	a.done = nil // a permit that comes late is given back
	return true
}

func (r *Router) answered(id uint64, answer Answer) {
	a := r.asks[id]
	if a == nil {
		return
	}
	delete(r.asks, id)
	if done := a.done; done != nil {
		r.later(func() { done(answer) })
	}
}

// Answered returns the lease for an answer that has come.
func (r *Router) Answered(s breaker.Subject, a Answer, now breaker.Instant) (breaker.Lease, breaker.Decision) {
	switch {
	case a.Unknown:
		return &breaker.Permit{}, a.Decision
	case !a.Admitted:
		return nil, a.Decision
	}
	l := &lease{router: r, subject: s, began: now, generation: a.Generation, probe: a.Probe}
	return l, a.Decision
}

// decide asks this replica's engine for another one.
func (r *Router) decide(s breaker.Subject, now breaker.Instant) Answer {
	status, known := r.o.Engine.Status(s.Key, now)
	if !known && s.Key.Node != "" {
		status, known = r.o.Engine.Status(shared(s.Key), now)
	}
	if !known {
		return Answer{Unknown: true, Decision: breaker.Decision{Admitted: true}}
	}
	a := Answer{Generation: status.Generation, Decision: breaker.Decision{State: status.State, RetryAfter: status.RetryAfter}}
	switch {
	case status.State == breaker.Closed || !status.Rejects():
		a.Admitted = true // the other replica reports how it ended
		return a
	case status.State == breaker.Open:
		r.local.Rejected(s, 1, now)
		return a
	case !r.mayGrant(s.Key, now):
		r.stats.withheld.Add(1)
		r.local.Rejected(s, 1, now)
		return a
	}
	if s.Key.Node != "" {
		r.local.Report(s, nil, now) // makes the breaker of the proxy
	}
	a.Probe, a.Generation, a.Decision = r.o.Engine.AcquireProbe(s.Key, now)
	return a
}

func (r *Router) tookAsk(p *peer, m *peerspb.Ask, now breaker.Instant) {
	s := breaker.Subject{Key: convert.KeyOf(m.GetKey()), Owner: m.GetOwner()}
	a := Answer{Decision: breaker.Decision{State: breaker.HalfOpen}}
	switch at := r.find(s.Key); {
	case at == nil:
		a = Answer{Unknown: true, Decision: breaker.Decision{Admitted: true}}
	case at.here() && r.thawed == 0:
		a = r.decide(s, now)
	case at.to != "" && m.GetHops() < maxHops: // the one that asks does not know the owner, or does not reach it
		id, to := r.id(), m.GetId()
		r.asks[id] = &ask{s, func(a Answer) {
			r.mu.Lock()
			defer r.unlock()
			r.answer(p, to, a)
		}, now}
		r.sendTo(at.to, &peerspb.Message{Kind: &peerspb.Message_Ask{Ask: &peerspb.Ask{
			Id: id, Key: m.GetKey(), Owner: s.Owner, Hops: m.GetHops() + 1,
		}}})
		return
	default:
		r.stats.withheld.Add(1)
	}
	r.answer(p, m.GetId(), a)
}

func (r *Router) answer(p *peer, id uint64, a Answer) {
	r.send(p, &peerspb.Message{Kind: &peerspb.Message_Answer{Answer: &peerspb.Answer{
		Id: id, Admitted: a.Admitted, State: int32(a.State), RetryAfter: int64(a.RetryAfter), Probe: a.Probe, Generation: a.Generation, Unknown: a.Unknown,
	}}})
}

func (r *Router) tookAnswer(m *peerspb.Answer, now breaker.Instant) {
	a := r.asks[m.GetId()]
	if a == nil {
		return // it has come before
	}
	if a.done == nil || now.Sub(a.at) >= askTimeout { // the call was refused meanwhile, or will be
		if m.GetProbe() != 0 {
			r.pass(&outbox.Item{Subject: a.subject, Settled: []outbox.Settled{{Probe: m.GetProbe(), Outcome: breaker.Ignored}}}, now)
		}
		delete(r.asks, m.GetId())
		if done := a.done; done != nil {
			r.later(func() { done(Answer{Decision: breaker.Decision{State: breaker.HalfOpen}}) })
		}
		return
	}
	r.answered(m.GetId(), Answer{
		Decision: breaker.Decision{Admitted: m.GetAdmitted(), State: breaker.State(m.GetState()), RetryAfter: time.Duration(m.GetRetryAfter())},
		Probe:    m.GetProbe(), Generation: m.GetGeneration(), Unknown: m.GetUnknown(),
	})
}

// forgetAsks drops the calls whose answers never came.
func (r *Router) forgetAsks(now breaker.Instant) {
	for id, a := range r.asks {
		if now.Sub(a.at) >= forgotten {
			delete(r.asks, id)
		}
	}
}
