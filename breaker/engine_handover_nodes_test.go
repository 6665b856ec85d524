package breaker

import (
	"fmt"
	"reflect"
	"testing"
	"time"
)

// ofNode returns the key of a proxy's breaker.
func ofNode(node string) Key { return Key{Upstream: keyA.Upstream, Node: node} }

// give hands one breaker over to another engine.
func (r *rig) give(key Key, next *rig) {
	r.t.Helper()
	h, ok := r.engine.HandOver(key, r.now)
	if !ok || !next.engine.TakeOver(&h, 0, r.now) {
		r.t.Fatalf("%s was not handed over", key)
	}
}

// TestTakeOverNodes: each proxy's breaker goes by itself. It is made where there is none yet, without a transition, whatever
// holds it open.
func TestTakeOverNodes(t *testing.T) {
	forcedOpen := runRule(2)
	forcedOpen.Mode = ForcedOpen
	for name, tt := range map[string]struct {
		cfg    Config
		before func(*rig)
		state  State
	}{
		"closed":                {runRule(2), func(r *rig) { r.node("n", Failure) }, Closed},
		"open":                  {runRule(2), func(r *rig) { r.node("n", Failure, Failure) }, Open},
		"forced":                {runRule(2), func(r *rig) { r.node("n"); r.forceKey(ofNode("n"), Open) }, Open},
		"forced with all":       {runRule(2), func(r *rig) { r.node("n"); r.forceKey(keyA, Open) }, Open},
		"forced by the policy":  {forcedOpen, func(r *rig) { r.node("n") }, Open},
		"forced closed all":     {forcedOpen, func(r *rig) { r.node("n"); r.forceKey(keyA, Closed) }, Closed},
		"open, and known there": {runRule(2), func(r *rig) { r.node("n", Failure, Failure) }, Open},
	} {
		t.Run(name, func(t *testing.T) {
			r := nodeRig(t, tt.cfg)
			tt.before(r)
			want, _ := r.engine.Holding(ofNode("n"), r.now)
			next := nodeRig(t, tt.cfg)
			if name == "open, and known there" {
				next.node("n")
			}
			next.transitions = nil
			r.give(keyA, next)
			r.give(ofNode("n"), next)
			next.wantSilence()
			got, ok := next.engine.Holding(ofNode("n"), next.now)
			if !ok || got.State != tt.state || !reflect.DeepEqual(got, want) {
				t.Errorf("differences:\n%s", differences(got, want))
			}
			if tt.state == Closed && tt.cfg.Mode == Enforce {
				next.node("n", Failure)
			}
			if left := r.engine.Breaker(ofNode("n")).Status(r.now); left.Override != nil || left.Sequence != want.Sequence {
				t.Errorf("left behind %+v, want it as new", left)
			}
		})
	}
}

// forceKey forces the breakers of a key for an hour.
func (r *rig) forceKey(key Key, s State) {
	r.t.Helper()
	if err := r.engine.Force(key, Override{State: s, By: "somebody", Note: "a reason", Until: r.now.Add(time.Hour)}, r.now); err != nil {
		r.t.Fatal(err)
	}
}

// TestTakeOverNodesThatAreHeld: an operator who holds all breakers of a key at the next owner holds the breaker of a
// proxy that comes later, too. That is a transition.
func TestTakeOverNodesThatAreHeld(t *testing.T) {
	r, next := nodeRig(t, runRule(2)), nodeRig(t, runRule(2))
	r.node("n", Failure)
	next.forceKey(keyA, Open)
	next.transitions = nil
	r.give(ofNode("n"), next)
	if len(next.transitions) != 1 || next.transitions[0].Edge != (Edge{Closed, Open, Forced}) || next.transitions[0].Key != ofNode("n") {
		t.Errorf("transitions %+v, want that the breaker is forced open", next.transitions)
	}
}

// TestTakeOverNodesThatProbe: the breaker for all proxies does not probe after an override; a proxy's own does.
func TestTakeOverNodesThatProbe(t *testing.T) {
	r, next := nodeRig(t, runRule(2)), nodeRig(t, runRule(2))
	r.node("n")
	r.forceKey(keyA, Open)
	r.give(ofNode("n"), next)
	r.give(keyA, next)
	next.after(time.Hour)
	next.all()
	edges := map[Key]Edge{}
	for _, tr := range next.transitions {
		edges[tr.Key] = tr.Edge
	}
	if edges[keyA] != (Edge{Open, Closed, ForceExpired}) || edges[ofNode("n")] != (Edge{Open, HalfOpen, ForceExpired}) || len(next.transitions) != 2 {
		t.Errorf("transitions %+v, want one to closed and one to half-open", next.transitions)
	}
}

// TestTakeOverNodesThatWait: the sum over all proxies says when its worst breaker admits probes.
func TestTakeOverNodesThatWait(t *testing.T) {
	r := nodeRig(t, runRule(2))
	r.node("n", Failure, Failure)
	r.after(30 * time.Second)
	h, _ := r.engine.HandOver(ofNode("n"), r.now)
	earliest := r.now.Add(time.Second)
	if !r.engine.TakeOver(&h, earliest, r.now) {
		t.Fatal("the breaker was not taken over")
	}
	if got := r.all(); got.State != HalfOpen || r.now.Add(got.RetryAfter) != earliest {
		t.Errorf("%s with probes in %s, want half-open from %d", got.State, got.RetryAfter, earliest)
	}
}

// TestTakeOverNodesBeyondTheBound: the breaker that all share does not take over the state of one.
func TestTakeOverNodesBeyondTheBound(t *testing.T) {
	r, next := nodeRig(t, runRule(2)), nodeRig(t, runRule(2))
	r.node("n", Failure, Failure)
	for i := range maxNodes {
		next.node(fmt.Sprint(i))
	}
	h, _ := r.engine.HandOver(ofNode("n"), r.now)
	if next.engine.TakeOver(&h, 0, next.now) {
		t.Error("it is taken over, want that there is no room")
	}
	next.wantState(Closed, 0)
}

// TestHandOverOfUnknownNodes: a proxy that has no breaker has nothing to hand over, and none is made.
func TestHandOverOfUnknownNodes(t *testing.T) {
	r := nodeRig(t, runRule(2))
	if _, ok := r.engine.HandOver(ofNode("n"), r.now); ok || r.engine.Breaker(ofNode("n")) != nil {
		t.Error("a proxy that has no breaker has one to hand over")
	}
}
