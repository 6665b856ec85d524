package peers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"breakwater.dev/breaker"
	"breakwater.dev/peers/internal/convert"
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
			p.do(func() {
				failure := breaker.Reported{Outcome: breaker.Failure, At: p.now()}
				p.router.Report(breaker.Subject{Key: s.Key}, []breaker.Reported{failure, failure, failure}, p.now())
			})
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

// TestANewOwnerMayKnowLess shows that the state of an owner that knows less than another replica replaces nothing there.
func TestANewOwnerMayKnowLess(t *testing.T) {
	all := specs(1)
	w := newWorld(1, all)
	w.fail = t.Fatalf
	owner, other := w.start(), w.start()
	w.run(10 * time.Second)
	key := all[0].Key
	if owner.router.core.Owner(key) == other.member.ID {
		owner, other = other, owner
	}
	owner.do(func() {
		failure := breaker.Reported{Outcome: breaker.Failure, At: owner.now()}
		owner.router.Report(breaker.Subject{Key: key}, []breaker.Reported{failure, failure, failure}, owner.now())
	})
	w.run(time.Second)
	blank := &convert.State{Rank: convert.Rank{Generation: 1}, Saved: breaker.Saved{Key: key, Generation: 1}}
	other.router.core.Learn(other.router.core.Known(owner.member.ID), blank, true, other.now())
	if s, _ := other.router.Status(key, other.now()); s.State != breaker.Open {
		t.Errorf("the breaker is %v, want open", s.State)
	}
}
