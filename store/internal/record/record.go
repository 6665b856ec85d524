package record

import (
	"time"

	"breakwater.dev/breaker"
)

// The records have the fields of [breaker.Saved] and of the types in it, with times of the wall clock, and in the
// words of policies. A change of a record needs a new version of the format.
type (
	// Record is the state of one breaker.
	Record struct {
		Key        key         `json:"key"`
		Config     config      `json:"config"`
		State      state       `json:"state"`
		Since      time.Time   `json:"since"`
		Until      time.Time   `json:"until,omitzero"`
		Openings   uint32      `json:"openings"`
		Sequence   uint64      `json:"sequence"`
		Generation uint64      `json:"generation"`
		Override   *override   `json:"override,omitempty"`
		Cause      *transition `json:"cause,omitempty"` // since format 2
		Trip       *transition `json:"trip,omitempty"`
		Lease      duration    `json:"lease,omitzero"` // since format 2
	}
	key struct {
		Upstream string `json:"upstream"`
		Route    string `json:"route,omitempty"`
		Node     string `json:"node,omitempty"`
	}
	override struct {
		State state     `json:"state"`
		By    string    `json:"by"`
		Note  string    `json:"note"`
		Until time.Time `json:"until,omitzero"`
	}
	transition struct {
		Key        key          `json:"key"`
		From       state        `json:"from"`
		To         state        `json:"to"`
		Reason     reason       `json:"reason"`
		Mode       mode         `json:"mode,omitempty"` // since format 2; absent: Enforce
		Sequence   uint64       `json:"sequence"`
		Generation uint64       `json:"generation"`
		At         time.Time    `json:"at"`
		Since      time.Time    `json:"since"`
		Window     windowCounts `json:"window"`
		Wait       duration     `json:"wait"`
		Openings   uint32       `json:"openings"`
		By         string       `json:"by,omitempty"`
		Note       string       `json:"note,omitempty"`
		Until      time.Time    `json:"until,omitzero"`
	}
	windowCounts struct {
		Calls    uint64 `json:"calls"`
		Failures uint64 `json:"failures"`
		Slow     uint64 `json:"slow"`
		Run      uint32 `json:"run"`
	}
)

// New returns the record of s, with times of the wall clock.
func New(s breaker.Saved, a Anchor) Record {
	r := Record{
		Key: key(s.Key), Config: newConfig(s.Config),
		State: state(s.State), Since: a.timeOf(s.Since), Until: a.timeOfEnd(s.Until),
		Openings: s.Openings, Sequence: s.Sequence, Generation: s.Generation, Lease: duration(s.Lease),
		Cause: newTransition(s.Cause, a), Trip: newTransition(s.Trip, a),
	}
	if o := s.Override; o != nil {
		r.Override = &override{State: state(o.State), By: o.By, Note: o.Note, Until: a.timeOfEnd(o.Until)}
	}
	return r
}

// newTransition returns the record of t; nil: nil.
func newTransition(t *breaker.Transition, a Anchor) *transition {
	if t == nil {
		return nil
	}
	return &transition{
		Key: key(t.Key), From: state(t.Edge.From), To: state(t.Edge.To), Reason: reason(t.Edge.Reason), Mode: mode(t.Mode),
		Sequence: t.Sequence, Generation: t.Generation, At: a.timeOf(t.At), Since: a.timeOf(t.Since),
		Window: windowCounts(t.Window), Wait: duration(t.Wait), Openings: t.Openings,
		By: t.By, Note: t.Note, Until: a.timeOfEnd(t.Until),
	}
}

// Saved returns the state of r, with instants of this process; a is now. Nothing in it began after now, and no wait is
// longer than planned. A wait that has ended meanwhile keeps its end, and the engine decides what follows from it.
func (r Record) Saved(a Anchor) breaker.Saved {
	s := breaker.Saved{
		Key: breaker.Key(r.Key), Config: r.Config.config(),
		State: breaker.State(r.State), Since: a.past(r.Since), Until: a.waitOf(r.Since, r.Until),
		Openings: r.Openings, Sequence: r.Sequence, Generation: r.Generation, Lease: time.Duration(r.Lease),
		Cause: r.Cause.transition(a), Trip: r.Trip.transition(a),
	}
	if o := r.Override; o != nil {
		s.Override = &breaker.Override{State: breaker.State(o.State), By: o.By, Note: o.Note, Until: a.endOf(o.Until)}
	}
	return s
}

// transition returns the transition of the record t; nil: nil.
func (t *transition) transition(a Anchor) *breaker.Transition {
	if t == nil {
		return nil
	}
	return &breaker.Transition{
		Key:  breaker.Key(t.Key),
		Edge: breaker.Edge{From: breaker.State(t.From), To: breaker.State(t.To), Reason: breaker.Reason(t.Reason)},
		Mode: breaker.Mode(t.Mode), Sequence: t.Sequence, Generation: t.Generation, At: a.past(t.At), Since: a.past(t.Since),
		Window: breaker.WindowCounts(t.Window), Wait: time.Duration(t.Wait), Openings: t.Openings,
		By: t.By, Note: t.Note, Until: a.endOf(t.Until),
	}
}
