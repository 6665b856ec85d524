package peers

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"breakwater.dev/breaker"
	"breakwater.dev/membership"
	"breakwater.dev/peers/internal/convert"
	"breakwater.dev/peers/internal/peerspb"
	"breakwater.dev/peers/internal/places"
	"breakwater.dev/peers/internal/roster"
)

// TestOpenBreakersStayOpen: while members come and go in any way, no replica that has settled takes an open breaker for a closed one.
// There is no partition, and messages may be lost and late.
func TestOpenBreakersStayOpen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := specs(3)
		for i := range all {
			all[i].Config.WaitDurationInOpenState = time.Hour
		}
		w := newWorld(rapid.Uint64().Draw(t, "seed"), all)
		w.fail = func(format string, args ...any) {
			t.Fatalf("%s\n%s", fmt.Sprintf(format, args...), strings.Join(w.log, "\n"))
		}
		for range rapid.IntRange(3, 4).Draw(t, "replicas") {
			w.start()
		}
		w.run(5 * time.Second)
		p := w.living()[0]
		for _, s := range all {
			w.trip(p, s.Key)
		}
		w.run(3 * time.Second)
		w.loss = float64(rapid.IntRange(0, 20).Draw(t, "loss %")) / 100
		w.slowest = time.Duration(rapid.IntRange(1, 200).Draw(t, "slowest ms")) * time.Millisecond
		for range rapid.IntRange(1, 4).Draw(t, "changes") {
			w.changeMembers(t)
			for range 6000 / 50 {
				w.run(50 * time.Millisecond)
				w.allOpen()
			}
		}
	})
}

// trip has a replica report as many failures as open a breaker.
func (w *world) trip(p *replica, key breaker.Key) {
	p.do(func() {
		failure := breaker.Reported{Outcome: breaker.Failure, At: p.now()}
		p.router.Report(breaker.Subject{Key: key}, []breaker.Reported{failure, failure, failure}, p.now())
	})
}

// changeMembers has a replica end in some way, or start.
func (w *world) changeMembers(t *rapid.T) {
	living := w.living()
	p := living[rapid.IntRange(0, len(living)-1).Draw(t, "replica")]
	switch rapid.IntRange(0, 3).Draw(t, "change") {
	case 0:
		if len(living) > 2 {
			p.kill()
		}
	case 1:
		if len(living) > 2 {
			p.do(func() { p.router.Leave(p.now()) })
			w.run(time.Second)
			p.kill()
		}
	case 2:
		if !p.frozen {
			p.freeze()
			w.after(time.Duration(rapid.IntRange(100, 5000).Draw(t, "frozen ms"))*time.Millisecond, func() {
				if !p.dead && p.frozen {
					p.thaw()
				}
			})
		}
	default:
		if len(living) < 4 {
			w.start()
		}
	}
}

// allOpen fails if a replica takes a breaker for closed. A replica that has just started does not know, and lets no proxies in.
func (w *world) allOpen() {
	for _, p := range w.living() {
		if p.frozen || !p.settled {
			if p.settled = p.router.Settled(); !p.settled {
				continue
			}
		}
		for _, s := range w.specs {
			if status, _ := p.router.Status(s.Key, p.now()); status.State == breaker.Closed {
				at := p.router.core.Find(s.Key)
				w.fail("%s takes %s for closed, which is at %q, here: %v, mirrored: %+v, at %v", p.member.ID, s.Key, at.To, at.Here(), p.router.core.Mirror(s.Key), w.now)
			}
		}
	}
}

// newOpen returns two replicas that know an open breaker of one of them.
func newOpen(t *testing.T) (w *world, owner, other *replica, key breaker.Key) {
	t.Helper()
	all := specs(1)
	all[0].Config.WaitDurationInOpenState = time.Hour
	w = newWorld(1, all)
	w.fail = t.Fatalf
	owner, other, key = w.start(), w.start(), all[0].Key
	w.run(10 * time.Second)
	if owner.router.core.Owner(key) == other.member.ID {
		owner, other = other, owner
	}
	w.trip(owner, key)
	w.run(3 * time.Second)
	return w, owner, other, key
}

// TestALateHandoverIsAnswered shows that a replica learns the state of a breaker that it has handed over, if the new owner has opened it
// before.
func TestALateHandoverIsAnswered(t *testing.T) {
	w, owner, other, key := newOpen(t)
	blank := &convert.State{Rank: convert.Rank{Generation: 1}, Saved: breaker.Saved{Key: key, Generation: 1}}
	other.router.core.Mirror(key).State = blank // it has had the breaker meanwhile
	owner.router.Receive(other.member, &peerspb.Message{Kind: &peerspb.Message_Handover{Handover: &peerspb.Handover{
		Id: 1, View: roster.ViewOut(owner.router.core.CurrentView()), State: convert.StateOut(blank, owner.now()),
	}}}, owner.now())
	w.run(time.Second)
	if s, _ := other.router.Status(key, other.now()); s.State != breaker.Open {
		t.Errorf("the breaker is %v, want open", s.State)
	}
}

// TestAllStatesLackNone shows that a replica does not answer with all states while a breaker is about to come, by the view of the one
// that asks, and that its answer has a breaker which is on its way to another replica.
func TestAllStatesLackNone(t *testing.T) {
	self, other := membership.Member{ID: "self"}, membership.Member{ID: "other"}
	engine := breaker.NewEngine(breaker.Options{})
	var sent []*peerspb.Message
	r := New(Options{
		Self: self, Engine: engine, Log: slog.New(slog.DiscardHandler), Send: func(_ membership.Member, m *peerspb.Message) { sent = append(sent, m) },
		Deliver: func(breaker.Transition, bool) {}, Changed: func(breaker.Key) {}, Suspect: func(breaker.Key) {}, Sampled: func() {}, Flush: func() {}, Wake: func() {},
	}, 0)
	both := membership.View{Epoch: 2, Members: []membership.Member{other, self}}
	owners := places.New(&places.Reach{Self: self.ID, Members: []string{other.ID, self.ID}})
	all := slices.DeleteFunc(specs(20), func(s breaker.Spec) bool { return owners.Owner(s.Key) != self.ID })[:1]
	key := all[0].Key
	engine.Apply(all, 1)
	r.Apply(all, nil, 1)
	receive := func(m *peerspb.Message) {
		sent = nil
		r.Receive(other, m, 1)
	}
	receive(&peerspb.Message{Kind: &peerspb.Message_Beat{Beat: &peerspb.Beat{
		From: &peerspb.Replica{Id: other.ID}, View: roster.ViewOut(&membership.View{Epoch: 1, Members: []membership.Member{other}}),
	}}})
	asked := int64(0)
	states := func() (answered bool, keys int) {
		asked++
		receive(&peerspb.Message{Kind: &peerspb.Message_Sync{Sync: &peerspb.Sync{Id: asked, View: roster.ViewOut(&both)}}})
		for _, m := range sent {
			if s := m.GetStates(); s.GetAll() {
				return true, len(s.GetStates())
			}
		}
		return false, 0
	}
	if answered, _ := states(); answered {
		t.Error("it answers while a breaker is about to come")
	}
	open := &convert.State{Rank: convert.Rank{Epoch: 1, Generation: 2, State: breaker.Open}, Saved: breaker.Saved{
		Key: key, Config: all[0].Config, State: breaker.Open, Generation: 2, Sequence: 1, Since: 1, Until: breaker.Instant(time.Hour),
	}}
	receive(&peerspb.Message{Kind: &peerspb.Message_Handover{Handover: &peerspb.Handover{Id: 1, View: roster.ViewOut(&both), State: convert.StateOut(open, 1)}}})
	if answered, n := states(); !answered || n != 1 {
		t.Errorf("the breaker has come, and all states are %d (answered: %v), want it", n, answered)
	}
	both.Epoch++
	both.Members = both.Members[:1]
	if answered, n := states(); !answered || n != 1 {
		t.Errorf("the breaker is on its way to the other replica, and all states are %d (answered: %v), want it", n, answered)
	}
}

// TestANewOwnerMayKnowLess shows that the state of an owner that knows less than another replica replaces nothing there.
func TestANewOwnerMayKnowLess(t *testing.T) {
	_, owner, other, key := newOpen(t)
	blank := &convert.State{Rank: convert.Rank{Generation: 1}, Saved: breaker.Saved{Key: key, Generation: 1}}
	other.router.core.Learn(other.router.core.Known(owner.member.ID), blank, true, other.now())
	if s, _ := other.router.Status(key, other.now()); s.State != breaker.Open {
		t.Errorf("the breaker is %v, want open", s.State)
	}
}
