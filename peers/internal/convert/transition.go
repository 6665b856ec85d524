package convert

import (
	"breakwater.dev/breaker"
	"breakwater.dev/peers/internal/peerspb"
)

// transitionOut writes a transition, and its cause.
func transitionOut(x *breaker.Transition, now at) *peerspb.Transition {
	if x == nil {
		return nil
	}
	m := &peerspb.Transition{
		From: int32(x.Edge.From), To: int32(x.Edge.To), Reason: int32(x.Edge.Reason), Mode: int32(x.Mode), Sequence: x.Sequence, Generation: x.Generation,
		Age: now.age(x.At), SinceAge: now.age(x.Since), Window: windowOut(x.Window), Wait: int64(x.Wait), Openings: x.Openings,
		By: x.By, Note: x.Note, Cause: transitionOut(x.Cause, now),
	}
	if x.Until != 0 {
		m.UntilLeft, m.Ends = now.left(x.Until), true
	}
	return m
}

// transitionIn reads a transition of a breaker. ok is false where it makes no sense.
func transitionIn(m *peerspb.Transition, key breaker.Key, now at) (x *breaker.Transition, ok bool) {
	if m == nil {
		return nil, true
	}
	known := IsState(m.GetFrom()) && IsState(m.GetTo()) && m.GetReason() >= 0 && m.GetReason() <= int32(breaker.Restored) &&
		m.GetMode() >= 0 && m.GetMode() <= int32(breaker.Disabled)
	if !known {
		return nil, false
	}
	x = &breaker.Transition{
		Key: key, Edge: breaker.Edge{From: breaker.State(m.GetFrom()), To: breaker.State(m.GetTo()), Reason: breaker.Reason(m.GetReason())},
		Mode: breaker.Mode(m.GetMode()), Sequence: m.GetSequence(), Generation: m.GetGeneration(),
		At: now.past(m.GetAge()), Since: now.past(m.GetSinceAge()), Window: windowIn(m.GetWindow()), Wait: duration(m.GetWait()),
		Openings: m.GetOpenings(), By: m.GetBy(), Note: m.GetNote(),
	}
	if m.GetEnds() {
		x.Until = now.end(m.GetUntilLeft())
	}
	if cause := m.GetCause(); cause.GetCause() == nil { // a cause has none itself, so a message cannot be deep
		x.Cause, ok = transitionIn(cause, key, now)
		return x, ok
	}
	return nil, false
}
