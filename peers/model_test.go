package peers

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"breakwater.dev/breaker"
	"breakwater.dev/membership"
	"breakwater.dev/peers/internal/calls"
)

// longest is how long a call takes at most.
const longest = 1500 * time.Millisecond

// call is a call of an application.
type call struct {
	key   breaker.Key
	by    *replica
	lease breaker.Lease
	probe bool
}

// specs are breakers that trip at three failures, and probe two seconds later.
func specs(n int) (all []breaker.Spec) {
	for i := range n {
		c := breaker.DefaultConfig()
		c.ConsecutiveFailures, c.SuccessThreshold, c.PermittedNumberOfCallsInHalfOpenState = 3, 2, 2
		c.WaitDurationInOpenState = 2 * time.Second
		c.MaxWaitDurationInHalfOpenState = 10 * time.Second
		all = append(all, breaker.Spec{Key: breaker.Key{Upstream: fmt.Sprintf("u%d", i)}, Config: c, Lease: longest + 2*time.Second})
	}
	return all
}

// call makes a call by a proxy of a replica.
func (w *world) call(p *replica, key breaker.Key) {
	p.do(func() {
		began := p.now()
		s := breaker.Subject{Key: key}
		if at := p.router.core.Find(key); at.Here() {
			l, d := p.router.Acquire(context.Background(), s, false, began)
			w.decided(p, key, l, d)
			return
		}
		l, d, asks := p.router.byMirror(s, began)
		if !asks {
			w.decided(p, key, l, d)
			return
		}
		waits := true
		id := p.router.ask(s, began, func(a calls.Answer) {
			if waits {
				waits = false
				l, d := p.router.answered(s, a, p.now())
				w.decided(p, key, l, d)
			}
		})
		w.after(calls.Timeout, func() {
			p.do(func() {
				if waits && p.router.abandon(id) {
					waits = false
					w.refused++
				}
			})
		})
	})
}

// decided has an admitted call made.
func (w *world) decided(p *replica, key breaker.Key, l breaker.Lease, d breaker.Decision) {
	if !d.Admitted {
		w.refused++
		return
	}
	w.admitted++
	c := &call{key: key, by: p, lease: l, probe: l.Probe() != 0}
	if c.probe {
		if w.flying[key] == nil {
			w.flying[key] = map[*call]bool{}
		}
		w.flying[key][c] = true
		w.note("%s probes %s", p.member.ID, key)
		w.most = max(w.most, len(w.flying[key]))
		if n := len(w.flying[key]); n > 2 {
			w.fail("%d probes of %s are in flight, want 2 at most", n, key)
		}
	}
	took := time.Duration(1 + w.random.Int64N(int64(longest)))
	outcome := breaker.Success
	if w.sick[key] {
		outcome = breaker.Failure
	}
	w.after(took, func() {
		if c.probe {
			w.note("%s has probed %s: %v", p.member.ID, key, outcome)
		}
		delete(w.flying[key], c)
		p.do(func() { l.Settle(outcome, took, p.now()) })
	})
}

// traffic makes calls for a while, by all replicas in turn.
func (w *world) traffic(d time.Duration, pause time.Duration) {
	for at := time.Duration(0); at < d; at += pause {
		w.after(at, func() {
			living := w.living()
			p := living[w.random.IntN(len(living))]
			w.call(p, w.specs[w.random.IntN(len(w.specs))].Key)
		})
	}
}

// heal ends everything that is wrong.
func (w *world) heal() {
	w.note("all is well")
	clear(w.cut)
	clear(w.sick)
	w.loss, w.twice, w.slowest = 0, 0, 5*time.Millisecond
	w.members.heal()
	for _, p := range w.living() {
		if p.frozen {
			p.thaw()
		}
	}
}

// agree fails unless all replicas have the same members and the same breakers.
func (w *world) agree() {
	living := w.living()
	first := living[0]
	for _, p := range living {
		if got, want := len(p.router.core.CurrentView().Members), len(living); got != want {
			w.fail("%s has %d members, want %d: %v", p.member.ID, got, want, ids(*p.router.core.CurrentView()))
		}
		for _, s := range w.specs {
			if got, want := describe(p, s.Key), describe(first, s.Key); got != want {
				w.fail("%s: %s is %s, and by %s it is %s", s.Key, p.member.ID, got, first.member.ID, want)
			}
		}
	}
}

func describe(p *replica, key breaker.Key) string {
	s, _ := p.router.Status(key, p.now())
	text := fmt.Sprintf("%v in generation %d at %s", s.State, s.Generation, p.router.core.Owner(key))
	if o := s.Override; o != nil {
		text += fmt.Sprintf(", forced %v by %s", o.State, o.By)
	}
	return text
}

// history is one random history.
type history struct {
	*world
	acked map[breaker.Key]string // by whom a breaker was forced, as far as that was confirmed
	tried map[breaker.Key]int    // how often that was tried
	calm  breaker.Instant        // nothing may be killed before
}

func (h *history) step(t *rapid.T) {
	living := h.living()
	p := living[rapid.IntRange(0, len(living)-1).Draw(t, "replica")]
	switch what := rapid.IntRange(0, 16).Draw(t, "what"); what {
	case 0, 1:
		key := h.specs[rapid.IntRange(0, len(h.specs)-1).Draw(t, "upstream")].Key
		h.sick[key] = !h.sick[key]
		h.note("%s is sick: %v", key, h.sick[key])
	case 2:
		if !p.frozen {
			p.freeze()
			h.after(time.Duration(rapid.IntRange(100, 9000).Draw(t, "frozen ms"))*time.Millisecond, func() {
				if !p.dead && p.frozen {
					p.thaw()
				}
			})
		}
	case 3, 4:
		if len(living) > 2 && h.now >= h.calm && len(h.cut) == 0 {
			p.kill()
			h.calm = h.now.Add(6 * time.Second)
			h.after(time.Duration(rapid.IntRange(100, 5000).Draw(t, "restart ms"))*time.Millisecond, h.join)
		}
	case 5, 14, 15:
		h.partition(t)
	case 6:
		clear(h.cut)
		clear(h.store.cut)
		h.note("the network is whole")
	case 7:
		h.store.down = !h.store.down
		h.note("the store is down: %v", h.store.down)
	case 8:
		if h.divided() {
			return
		}
		h.store.view, h.store.alive = membership.View{}, map[string]alive{}
		h.note("the store is empty")
	case 9:
		h.loss = float64(rapid.IntRange(0, 30).Draw(t, "loss %")) / 100
		h.twice = float64(rapid.IntRange(0, 30).Draw(t, "twice %")) / 100
		h.slowest = time.Duration(rapid.IntRange(1, 400).Draw(t, "slowest ms")) * time.Millisecond
		h.note("loss %.2f, twice %.2f, up to %v", h.loss, h.twice, h.slowest)
	case 10:
		h.force(t, p)
	case 11:
		if h.members.room() {
			h.join()
		}
	default:
	}
}

// divided reports whether some replica does not reach the store.
func (h *history) divided() bool {
	if h.store.down {
		return true
	}
	for _, cut := range h.store.cut {
		if cut {
			return true
		}
	}
	return false
}

// complete reports whether some replica of a side knows of no member on the other side. If such a side lost the store, its replicas
// would go on, since they reach all others that they know of, and no replica on the other side could tell that they do. That
// is the one case in which two replicas may give permits of one breaker; see docs/adr/0041.
func (h *history) complete(side map[string]bool) bool {
	for _, p := range h.living() {
		if !side[p.member.ID] {
			continue
		}
		others := false
		for _, m := range p.router.core.CurrentView().Members {
			others = others || !side[m.ID]
		}
		if !others {
			return true
		}
	}
	return false
}

// join starts a replica, as soon as all reach the store.
func (h *history) join() {
	if h.divided() {
		h.after(time.Second, h.join)
		return
	}
	if h.members.room() {
		h.start()
	}
}

func (h *history) partition(t *rapid.T) {
	if h.now < h.calm {
		return
	}
	clear(h.cut)
	living := h.living()
	side := map[string]bool{}
	for _, p := range living {
		side[p.member.ID] = rapid.Bool().Draw(t, "side of "+p.member.ID)
	}
	withStore := rapid.IntRange(0, 1).Draw(t, "store")
	clear(h.store.cut)
	for _, x := range living {
		for _, y := range living {
			if side[x.member.ID] != side[y.member.ID] {
				h.cut[pair(x.member.ID, y.member.ID)] = true
			}
		}
		h.store.cut[x.member.ID] = withStore == 1 && side[x.member.ID] && !h.complete(side)
	}
	h.note("cut: %v, from the store: %v", side, h.store.cut)
}

// force forces a breaker open by hand.
func (h *history) force(t *rapid.T, p *replica) {
	if len(h.cut) > 0 {
		return
	}
	key := h.specs[rapid.IntRange(0, len(h.specs)-1).Draw(t, "forced")].Key
	p.do(func() {
		h.tried[key]++
		by := fmt.Sprintf("op%d", h.tried[key])
		h.note("%s is asked to force %s by %s", p.member.ID, key, by)
		p.router.Change(ByHand{Key: key, State: breaker.Open, By: by, Note: "test", Lasts: time.Hour}, p.now(), func(err error) {
			h.note("forced %s by %s: %v", key, by, err)
			p.router.mu.Lock()
			known := len(p.router.core.Reached()) > 0 // else no other replica could confirm it, and it dies with this one
			p.router.mu.Unlock()
			if err == nil && known {
				h.acked[key] = by
			}
		})
	})
}

// atRest fails if an engine believes that a call goes on, when all have ended.
func (h *history) atRest() {
	for _, p := range h.living() {
		for _, s := range p.engine.Snapshot(p.now()) {
			if s.InFlight != 0 || s.ProbesInFlight != 0 {
				h.fail("%s: %d calls and %d probes of %s are in flight, though all have ended", p.member.ID, s.InFlight, s.ProbesInFlight, s.Key)
			}
		}
	}
}

// TestReplicasShareBreakers: whatever happens to replicas, their network and their store, no breaker has more probes in flight than
// it may, no generation is made twice, and when all is well again, all replicas agree, no override is lost and every breaker
// closes.
func TestReplicasShareBreakers(t *testing.T) {
	share(t, func(w *world, _ int) source { return &w.store })
}

// TestReplicasWithoutStoreShareBreakers: all that is true where replicas know each other by their addresses.
func TestReplicasWithoutStoreShareBreakers(t *testing.T) {
	share(t, func(w *world, n int) source { return newAddresses(w, max(n, 3)) })
}

func share(t *testing.T, members func(w *world, n int) source) {
	t.Helper()
	rapid.Check(t, func(t *rapid.T) {
		h := &history{world: newWorld(rapid.Uint64().Draw(t, "seed"), specs(3)), acked: map[breaker.Key]string{}, tried: map[breaker.Key]int{}}
		h.fail = func(format string, args ...any) {
			t.Fatalf("%s\n%s", fmt.Sprintf(format, args...), strings.Join(h.log, "\n"))
		}
		n := rapid.IntRange(2, 4).Draw(t, "replicas")
		h.members = members(h.world, n)
		for range n {
			h.start()
		}
		h.run(5 * time.Second)
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			h.step(t)
			d := time.Duration(rapid.IntRange(10, 6000).Draw(t, "ms")) * time.Millisecond
			h.traffic(d, 25*time.Millisecond)
			h.run(d)
		}
		h.heal()
		h.traffic(30*time.Second, 100*time.Millisecond)
		h.run(30 * time.Second)
		h.agree()
		p := h.living()[0]
		for _, s := range h.specs {
			status, _ := p.router.Status(s.Key, p.now())
			switch o := status.Override; {
			case h.acked[s.Key] != "" && o == nil:
				h.fail("the override of %s by %s is lost", s.Key, h.acked[s.Key])
			case h.acked[s.Key] != "" && h.tried[s.Key] == 1 && o.By != h.acked[s.Key]:
				h.fail("%s is forced by %s, want %s", s.Key, o.By, h.acked[s.Key])
			case h.tried[s.Key] == 0 && status.State != breaker.Closed:
				h.fail("%s is %v when all is well", s.Key, status.State)
			}
		}
		h.run(5 * time.Second)
		h.atRest()
	})
}
