package quorum

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"breakwater.dev/membership"
)

// check fails if two replicas lead, if two have leases of different views, or if a view comes into force that may not.
func (w *world) check() {
	var leader, holder *process
	for _, p := range w.living() {
		now := p.now()
		if p.q.leading && p.q.leads(now) {
			if leader != nil {
				w.fail("%s and %s lead", leader.member.ID, p.member.ID)
			}
			leader = p
		}
		if p.lease <= now {
			continue
		}
		if !p.view.Has(p.member.ID) {
			w.fail("%s has a lease, and is no member", p.member.ID)
		}
		if p.lease.Sub(p.asked) > counted {
			w.fail("%s has a lease of %v", p.member.ID, p.lease.Sub(p.asked))
		}
		if holder != nil && !holder.view.Same(&p.view) {
			w.fail("%s has a lease of epoch %d, and %s of epoch %d", holder.member.ID, holder.view.Epoch, p.member.ID, p.view.Epoch)
		}
		if holder == nil {
			holder = p
			w.force(p.view)
		}
	}
}

// force notes that a view is in force. It must be the one that was last, or follow it, or say that it follows none.
func (w *world) force(v membership.View) {
	n, had := len(w.inForce), 0
	list := w.published[len(w.published)-1].addresses
	for _, a := range list {
		if w.had[v.Nonce][strings.TrimSuffix(a, alias)] {
			had++
		}
	}
	if !w.changing && had <= len(list)/2 {
		w.fail("epoch %d is in force, and %d of %d addresses have it", v.Epoch, had, len(list))
	}
	if n == 0 {
		w.inForce = append(w.inForce, v)
		return
	}
	last := w.inForce[n-1]
	switch {
	case last.Same(&v):
		return
	case v.Epoch <= last.Epoch:
		w.fail("epoch %d is in force after %d", v.Epoch, last.Epoch)
	}
	if i := slices.IndexFunc(w.inForce, func(o membership.View) bool { return o.Nonce == v.Follows }); i >= 0 && i < n-1 {
		w.fail("epoch %d follows %d, and not %d", v.Epoch, w.inForce[i].Epoch, last.Epoch)
	}
	w.note("epoch %d is in force", v.Epoch)
	w.inForce = append(w.inForce, v)
}

// history is one random history.
type history struct{ *world }

func (h *history) step(t *rapid.T) {
	s := h.sites[rapid.IntRange(0, len(h.sites)-1).Draw(t, "site")]
	switch rapid.IntRange(0, 11).Draw(t, "what") {
	case 0, 1:
		if s.p != nil {
			s.kill()
		}
	case 2, 3:
		if s.p == nil {
			s.start()
		}
	case 4:
		if s.p != nil {
			s.kill()
			s.start()
		}
	case 5, 6:
		if p := s.p; p != nil && !p.frozen {
			p.freeze()
			h.after(time.Duration(rapid.IntRange(100, 9000).Draw(t, "frozen ms"))*time.Millisecond, func() {
				if !p.dead && p.frozen {
					p.thaw()
				}
			})
		}
	case 7:
		clear(h.cut)
		side := map[string]bool{}
		for _, s := range h.sites {
			side[s.address] = rapid.Bool().Draw(t, "side of "+s.address)
		}
		for x := range side {
			for y := range side {
				h.cut[pair(x, y)] = side[x] != side[y]
			}
		}
		h.note("cut: %v", side)
	case 8:
		clear(h.cut)
		h.note("the network is whole")
	case 9:
		h.loss = float64(rapid.IntRange(0, 40).Draw(t, "loss %")) / 100
		h.twice = float64(rapid.IntRange(0, 40).Draw(t, "twice %")) / 100
		h.slowest = time.Duration(rapid.IntRange(1, 3000).Draw(t, "slowest ms")) * time.Millisecond
		h.note("loss %.2f, twice %.2f, up to %v", h.loss, h.twice, h.slowest)
	case 10:
		if p := s.p; p != nil {
			h.note("%s leaves", p.member.ID)
			p.do(p.q.Leave)
			h.after(2*time.Second, func() {
				if s.p == p {
					s.kill()
				}
			})
		}
	case 11:
		h.rename(t)
	}
}

// rename changes the addresses of the name. Each list stays for longer than the longest time between two answers.
func (h *history) rename(t *rapid.T) {
	if !h.changing {
		return
	}
	s := h.sites[rapid.IntRange(0, len(h.sites)-1).Draw(t, "silent")]
	s.silent = rapid.IntRange(0, 3).Draw(t, "answers") == 0
	if h.now.Sub(h.published[len(h.published)-1].at) < Outdated+3*time.Second {
		return
	}
	var addresses []string
	for range rapid.IntRange(0, 2).Draw(t, "new") {
		if len(h.sites) < 8 {
			h.site().start()
		}
	}
	for _, s := range h.sites {
		if rapid.IntRange(0, 3).Draw(t, "listed "+s.address) > 0 {
			addresses = append(addresses, s.address)
		}
	}
	if len(addresses) > 0 {
		h.publish(addresses)
	}
}

// heal ends everything that is wrong.
func (h *history) heal() {
	h.note("all is well")
	clear(h.cut)
	h.loss, h.twice, h.slowest = 0, 0, 5*time.Millisecond
	var all []string
	for _, s := range h.sites {
		s.silent = false
		switch {
		case s.p == nil:
			s.start()
		case s.p.frozen:
			s.p.thaw()
		}
		all = append(all, s.address)
	}
	for _, p := range h.living() {
		if p.q.leaving {
			s := p.site
			s.kill()
			s.start()
		}
	}
	if h.changing {
		h.publish(all)
	}
}

// agree fails unless all replicas are members of one view, and all have leases.
func (h *history) agree() {
	living := h.living()
	for _, p := range living {
		if len(p.view.Members) != len(living) || !p.view.Same(&living[0].view) {
			h.fail("%s has epoch %d with %v, want all of %d, as %s in epoch %d", p.member.ID, p.view.Epoch, ids(&p.view), len(living), living[0].member.ID, living[0].view.Epoch)
		}
		if p.lease <= p.now() {
			h.fail("%s has no lease when all is well", p.member.ID)
		}
	}
}

func check(t *testing.T, changing bool) {
	t.Helper()
	rapid.Check(t, func(t *rapid.T) {
		h := &history{world: newWorld(rapid.Uint64().Draw(t, "seed"))}
		h.changing = changing
		h.fail = func(format string, args ...any) {
			t.Fatalf("%s\n%s", fmt.Sprintf(format, args...), strings.Join(h.log, "\n"))
		}
		var all []string
		for range rapid.IntRange(1, 5).Draw(t, "sites") {
			all = append(all, h.site().address)
		}
		twice := len(all) > 2 && rapid.IntRange(0, 3).Draw(t, "twice") == 0
		if twice { // one replica has two addresses
			all = append(all, all[0]+alias)
		}
		h.publish(all)
		h.published[0].at = 0
		for _, s := range h.sites {
			s.start()
		}
		if changing {
			h.run(Watch + 10*time.Second)
		}
		h.run(6 * time.Second)
		h.agree()
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			h.step(t)
			h.run(time.Duration(rapid.IntRange(10, 3000).Draw(t, "ms")) * time.Millisecond)
			if changing && rapid.IntRange(0, 3).Draw(t, "long") == 0 {
				h.run(25 * time.Second)
			}
		}
		h.heal()
		if changing {
			h.run(25*time.Second + Watch)
		}
		h.run(15 * time.Second)
		h.agree()
	})
}

// TestQuorum: whatever happens to replicas and their network, one at most leads, all leases at a time belong to one view, and each view
// follows the last one or says that it does not. When all is well again, all are members of one view.
func TestQuorum(t *testing.T) { check(t, false) }

// TestQuorumOfAName: the same is true while the addresses of a name change, and replicas learn of that at different times.
func TestQuorumOfAName(t *testing.T) { check(t, true) }

// whole returns a world of n replicas that are members of one view.
func whole(t *testing.T, n int, seed uint64) *history {
	t.Helper()
	h := &history{world: newWorld(seed)}
	h.fail = func(format string, args ...any) {
		t.Fatalf("%s\n%s", fmt.Sprintf(format, args...), strings.Join(h.log, "\n"))
	}
	var all []string
	for range n {
		all = append(all, h.site().address)
	}
	h.publish(all)
	for _, s := range h.sites {
		s.start()
	}
	h.run(6 * time.Second)
	h.agree()
	return h
}

// leader returns the replica that leads.
func (h *history) leader(t *testing.T) *process {
	t.Helper()
	i := slices.IndexFunc(h.living(), func(p *process) bool { return p.q.leading })
	if i < 0 {
		t.Fatal("no replica leads")
	}
	return h.living()[i]
}

// TestLeaderOutbids: a replica that has a view of its own, which was never in force, gets one that is above it.
func TestLeaderOutbids(t *testing.T) {
	for _, above := range []uint64{0, 1, 5} {
		h := whole(t, 3, 1)
		leads := h.leader(t)
		i := slices.IndexFunc(h.living(), func(p *process) bool { return p != leads })
		other := h.living()[i]
		other.view, other.lease = membership.View{Epoch: other.q.view.Epoch + above, Nonce: "alone"}, 0
		other.q.accept(other.view)
		h.run(3 * time.Second)
		h.agree()
		if h.leader(t) != leads {
			t.Errorf("another replica leads")
		}
	}
}

// TestTwoReplicas: one of two replicas has no lease when the other one is gone. Both have leases again when it is back.
func TestTwoReplicas(t *testing.T) {
	h := whole(t, 2, 1)
	h.sites[0].kill()
	h.run(3 * time.Second)
	if p := h.sites[1].p; p.lease > p.now() {
		t.Error("one of two replicas has a lease")
	}
	h.sites[0].start()
	h.run(6 * time.Second)
	h.agree()
}

// TestTakeoverIsQuick: when a replica is killed, the others are members without it within three seconds, whether it led or not, and
// their view follows the one before, so that breakers whose owner lives go on without a pause. It is quicker if a replica leaves in
// order.
func TestTakeoverIsQuick(t *testing.T) {
	for _, tt := range []struct {
		name   string
		leader bool
		within time.Duration
		end    func(p *process)
	}{
		{"the leader is killed", true, 3 * time.Second, func(p *process) { p.site.kill() }},
		{"another one is killed", false, 3 * time.Second, func(p *process) { p.site.kill() }},
		{"the leader leaves", true, 500 * time.Millisecond, func(p *process) { p.q.Leave() }},
		{"another one leaves", false, 800 * time.Millisecond, func(p *process) { p.q.Leave() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for seed := range uint64(30) {
				h := whole(t, 3, seed)
				i := slices.IndexFunc(h.living(), func(p *process) bool { return p.q.leading == tt.leader })
				lost := h.living()[i]
				before := lost.view
				tt.end(lost)
				h.run(tt.within)
				for _, p := range h.living() {
					if p != lost && (len(p.view.Members) != 2 || p.view.Follows != before.Nonce || p.lease <= p.now()) {
						t.Errorf("%s has epoch %d with %v and a lease of %v:\n%s", p.member.ID, p.view.Epoch, ids(&p.view), p.lease.Sub(p.now()), strings.Join(h.log, "\n"))
					}
				}
			}
		})
	}
}

// TestTrouble: each typical mistake in a list is found.
func TestTrouble(t *testing.T) {
	trouble := func(h *history) (all string) {
		h.run(10 * time.Second)
		for _, p := range h.living() {
			all += strings.Join(p.q.Trouble(p.now()), "\n") + "\n"
		}
		return strings.TrimSpace(all)
	}
	if got := trouble(whole(t, 3, 1)); got != "" {
		t.Errorf("all is well: %q, want nothing", got)
	}
	h := whole(t, 3, 1)
	h.site().start()
	if got := trouble(h); !strings.Contains(got, "this replica does not meet itself at any of a1, a2, a3") {
		t.Errorf("a replica is not in the list: %q", got)
	}
	h = whole(t, 3, 1)
	h.publish([]string{"a1", "a2", "a3", "a1" + alias})
	h.sites[1].kill()
	h.sites[1].start()
	if got := trouble(h); !strings.Contains(got, "has another list") || !strings.Contains(got, "one replica answers at a1 and at a1-alias") {
		t.Errorf("one replica is in a list twice: %q", got)
	}
	h = whole(t, 3, 1)
	balanced := h.site()
	balanced.start()
	h.run(5 * time.Second)
	first := h.sites[2].p
	balanced.p.q.Addresses([]string{"a1", "a2", "a3"}, balanced.p.now())
	for range 10 { // the third address leads to one of two replicas
		h.sites[2].p, balanced.p = balanced.p, h.sites[2].p
		h.run(time.Second)
	}
	h.sites[2].p, balanced.p = first, nil
	if got := trouble(h); !strings.Contains(got, "several replicas answer at a3") {
		t.Errorf("a load balancer is in the list: %q", got)
	}
}
