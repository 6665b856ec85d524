package calls

import (
	"time"

	"breakwater.dev/breaker"
)

const (
	// Timeout is how long the owner of a breaker may take to answer. Then the call is decided as if all permits were out. A
	// proxy waits 200 ms for its answer.
	Timeout = 100 * time.Millisecond
	// forgotten is how long an answer may take whose permit is given back. It covers any time that a message can be under way.
	forgotten = 10 * time.Second
)

// Answer is the decision of a breaker's owner about a call.
type Answer struct {
	breaker.Decision
	Probe      uint32 // 0: the call is no probe
	Generation uint64
	Unknown    bool // the owner has no such breaker
}

// Refused is the answer to a call that gets no permit, since the owner cannot give one.
var Refused = Answer{Decision: breaker.Decision{State: breaker.HalfOpen}}

// Asks are the calls that wait for the answers of breakers' owners. The zero value has none.
type Asks struct{ byID map[uint64]*ask }

// ask is a call that waits.
type ask struct {
	subject breaker.Subject
	done    func(Answer) // nil: the caller has stopped to wait
	at      breaker.Instant
}

// Add notes a call. done gets the answer.
func (a *Asks) Add(id uint64, s breaker.Subject, now breaker.Instant, done func(Answer)) {
	if a.byID == nil {
		a.byID = map[uint64]*ask{}
	}
	a.byID[id] = &ask{s, done, now}
}

// Abandon says that the caller has stopped to wait. It reports false where the answer was given.
func (a *Asks) Abandon(id uint64) bool {
	of := a.byID[id]
	if of == nil {
		return false
	}
	of.done = nil // a permit that comes late is given back
	return true
}

// Take returns what to do with an answer, once: done gets the answer that counts; nil: there is no caller. late says that the permit of
// the answer has to be given back.
func (a *Asks) Take(id uint64, answer Answer, now breaker.Instant) (s breaker.Subject, done func(Answer), counts Answer, late bool) {
	of := a.byID[id]
	if of == nil {
		return s, nil, answer, false
	}
	delete(a.byID, id)
	if of.done == nil || now.Sub(of.at) >= Timeout {
		return of.subject, of.done, Refused, answer.Probe != 0
	}
	return of.subject, of.done, answer, false
}

// Forget drops the calls whose answers never came.
func (a *Asks) Forget(now breaker.Instant) {
	for id, of := range a.byID {
		if now.Sub(of.at) >= forgotten {
			delete(a.byID, id)
		}
	}
}
