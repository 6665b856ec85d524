package roster

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"breakwater.dev/breaker"
	"breakwater.dev/membership"
)

// certain fails unless a is certain at each instant from one to another, and not just before and just after them. until 0: a is never
// certain. from is 0 where it is certain already at the first look.
func certain(t *testing.T, name string, r *Roster, from, until time.Duration) {
	t.Helper()
	for _, look := range []struct {
		at   time.Duration
		want bool
	}{{from - 1, false}, {from, until > 0}, {until - 1, until > 0}, {until, false}} {
		if look.at < 0 {
			continue
		}
		if got := r.Certain(at(look.at)); got != look.want {
			t.Errorf("%s: certain after %s: %t, want %t", name, look.at, got, look.want)
		}
	}
}

// TestLease shows until when the source of members makes a replica certain: until the end of the latest lease by the view in force.
func TestLease(t *testing.T) {
	r := New(member("a"), true)
	certain(t, "without a view", r, 0, 0)
	r.Apply(view(3, "a", "b"), at(0))
	certain(t, "without a lease", r, 0, 0)
	r.Renew(2, at(0), at(time.Hour))
	certain(t, "by the view before", r, 0, 0)
	r.Renew(4, at(0), at(time.Hour))
	certain(t, "by the view after", r, 0, 0)
	r.Renew(3, at(0), at(2*time.Second))
	certain(t, "with a lease", r, 0, 2*time.Second)
	r.Renew(3, at(0), at(time.Second))
	certain(t, "with an older lease that comes late", r, 0, 2*time.Second)
	r.Renew(3, at(time.Second), at(3*time.Second))
	certain(t, "with the next lease", r, 0, 3*time.Second)
	r.Apply(view(4, "a"), at(time.Second))
	certain(t, "by another view", r, 0, 0)
}

// TestAgreement shows that all other members together make a replica certain, for the time of a lease since the oldest of the beats that they
// have confirmed by the view in force.
func TestAgreement(t *testing.T) {
	v := view(3, "a", "b", "c")
	other := view(3, "a", "b", "c")
	other.Nonce = "another store's"
	sameName := view(2, "a", "b", "c")
	sameName.Nonce = v.Nonce
	r := replica(v)
	certain(t, "without beats", r, 0, 0)
	r.took(beat("b", v, time.Second, at(time.Second)))
	certain(t, "with one of two", r, 0, 0)
	for _, tt := range []struct {
		name string
		view membership.View
		echo breaker.Instant
	}{
		{"by an older view", view(2, "a", "b", "c"), at(2 * time.Second)},
		{"by a newer view", view(4, "a", "b", "c"), at(2 * time.Second)},
		{"by another view of the same epoch", other, at(2 * time.Second)},
		{"by another epoch of a view that is called the same", sameName, at(2 * time.Second)},
		{"without having had a beat", v, 0},
		{"by another clock", v, at(time.Second) + 1}, // the beat comes before that
	} {
		r.took(beat("c", tt.view, time.Second, tt.echo))
		certain(t, tt.name, r, 0, 0)
	}
	r.took(beat("c", v, 1100*time.Millisecond, at(500*time.Millisecond)))
	certain(t, "with both", r, 0, 2500*time.Millisecond)
	r.took(beat("c", v, 1200*time.Millisecond, at(400*time.Millisecond)))
	certain(t, "an older echo", r, 0, 2500*time.Millisecond)
	r.took(beat("c", v, 1300*time.Millisecond, at(1200*time.Millisecond)))
	certain(t, "b is the older one now", r, 0, 3*time.Second)
	r.LeasesOnly = true
	certain(t, "where leases are the only proof", r, 0, 0)
	r.LeasesOnly = false
	r.Apply(view(4, "a", "b"), at(time.Second))
	certain(t, "by another view", r, 0, 0)
	r.took(beat("b", view(4, "a", "b"), 1400*time.Millisecond, at(1300*time.Millisecond)))
	certain(t, "by another view that b confirms", r, 0, 3300*time.Millisecond)
	r.Apply(view(5, "b"), at(time.Second))
	r.took(beat("b", view(5, "b"), 1500*time.Millisecond, at(1400*time.Millisecond)))
	certain(t, "no member", r, 0, 0)
	alone := replica(view(1, "a"))
	if !alone.Certain(at(time.Hour)) {
		t.Error("the only member is not certain")
	}
}

// thaw has a stand still from one instant to another.
func thaw(t *testing.T, r *Roster, from, until time.Duration) {
	t.Helper()
	r.Look(at(from))
	if got, want := r.Awake(at(until)), until-from; got != want {
		t.Fatalf("it has stood still for %s, want %s", got, want)
	}
}

// TestAwake shows when a process has stood still, and that it is noticed once.
func TestAwake(t *testing.T) {
	r := replica(view(1, "a", "b"))
	if still := r.Awake(at(time.Hour)); still != 0 || r.InDoubt(at(time.Hour)) {
		t.Errorf("a process that has just begun has stood still for %s", still)
	}
	r.Look(at(0))
	if still := r.Awake(at(frozen - 1)); still != 0 || r.InDoubt(at(frozen-1)) {
		t.Errorf("a process that is looked at has stood still for %s", still)
	}
	thaw(t, r, 0, frozen)
	if still := r.Awake(at(frozen + 1)); still != 0 {
		t.Errorf("it has stood still for %s more", still)
	}
	r.Apply(view(2, "b"), at(frozen))
	if r.InDoubt(at(frozen)) {
		t.Error("a replica that is no member is in doubt")
	}
	if still := r.Awake(at(frozen + 1)); still != 0 {
		t.Errorf("it has stood still for %s again", still)
	}
}

// TestDoubt shows that a process that has stood still is in doubt until it is confirmed, or for a second, and that it may not act for
// that time.
func TestDoubt(t *testing.T) {
	const stood = 10 * time.Second // it stands still until then
	v := view(1, "a", "b", "c")
	for _, tt := range []struct {
		name  string
		do    func(r *Roster)
		doubt bool // 100 ms later
		right bool // the same
	}{
		{"nothing is said", func(*Roster) {}, true, false},
		{"one of two has confirmed", func(r *Roster) { r.took(beat("b", v, stood+1, at(stood))) }, true, false},
		{"both have confirmed", func(r *Roster) {
			r.took(beat("b", v, stood+1, at(stood)))
			r.took(beat("c", v, stood+1, at(stood)))
		}, false, true},
		{"both have confirmed a beat from before", func(r *Roster) {
			r.took(beat("b", v, stood+1, at(stood)))
			r.took(beat("c", v, stood+1, at(stood-1)))
		}, true, false},
		{"a lease that was asked for later", func(r *Roster) { r.Renew(1, at(stood), at(stood+2*time.Second)) }, false, true},
		{"a lease that was asked for before", func(r *Roster) { r.Renew(1, at(stood-1), at(stood+2*time.Second)) }, true, false},
		{"a lease by another view", func(r *Roster) { r.Renew(2, at(stood), at(stood+2*time.Second)) }, true, false},
		{"another view without it", func(r *Roster) { r.Apply(view(2, "b", "c"), at(stood)) }, false, false},
		{"another view with it", func(r *Roster) { r.Apply(view(2, "a", "c"), at(stood)) }, true, false},
		{"another view with nothing else", func(r *Roster) { r.Apply(view(2, "a"), at(stood)) }, false, true},
	} {
		r := replica(v)
		for _, id := range []string{"b", "c"} { // both have confirmed it just before
			r.took(beat(id, v, 0, at(stood-1)))
		}
		r.Renew(1, at(0), at(stood+2*time.Second))
		thaw(t, r, time.Second, stood)
		if r.Certain(at(stood)) || !r.InDoubt(at(stood)) {
			t.Errorf("%s: just after it has stood still it is certain: %t, in doubt: %t", tt.name, r.Certain(at(stood)), r.InDoubt(at(stood)))
		}
		tt.do(r)
		soon := at(stood + 100*time.Millisecond)
		if got := r.InDoubt(soon); got != tt.doubt {
			t.Errorf("%s: in doubt: %t, want %t", tt.name, got, tt.doubt)
		}
		if got := r.Certain(soon); got != tt.right {
			t.Errorf("%s: certain: %t, want %t", tt.name, got, tt.right)
		}
		if tt.doubt && (!r.InDoubt(at(stood+doubt-1)) || r.InDoubt(at(stood+doubt)) || r.InDoubt(at(stood))) {
			t.Errorf("%s: the doubt does not end after %s, for good", tt.name, doubt)
		}
	}
}

// TestStandingStillAgain shows that a process that stands still while it is in doubt is in doubt for as long as after the first time, since
// the time in which it stood still brought no answers.
func TestStandingStillAgain(t *testing.T) {
	v := view(1, "a", "b")
	r := replica(v)
	thaw(t, r, 0, 10*time.Second)
	r.took(beat("b", v, 10*time.Second, at(10*time.Second)-1))
	thaw(t, r, 10*time.Second, 20*time.Second)
	r.took(beat("b", v, 20*time.Second, at(10*time.Second)))
	if !r.InDoubt(at(20*time.Second+doubt-1)) || r.Certain(at(20*time.Second)) {
		t.Error("it is certain, or not in doubt, by a confirmation from before it stood still again")
	}
	if r.InDoubt(at(20*time.Second + doubt)) {
		t.Error("the doubt does not end")
	}
}

// TestDoubtThatEndsWithoutAnAnswer shows that confirmations from before a process stood still do not count after its doubt either.
func TestDoubtThatEndsWithoutAnAnswer(t *testing.T) {
	v := view(1, "a", "b")
	r := replica(v)
	r.Look(at(0))
	r.took(beat("b", v, frozen-1, at(frozen-1)))
	r.Renew(1, at(0), at(time.Hour))
	if r.Awake(at(frozen)) == 0 || r.InDoubt(at(frozen+doubt)) || r.Certain(at(frozen+doubt)) {
		t.Error("it is in doubt still, or certain though the others have said nothing")
	}
}

// TestBeginningOfTheClock shows that a process that has just begun takes nothing for known because its clock is near 0.
func TestBeginningOfTheClock(t *testing.T) {
	const now = breaker.Instant(time.Millisecond)
	r := New(member("a"), false)
	if changed, _ := r.Apply(membership.View{}, now); !changed {
		t.Error("the first view is ignored, since it has no members")
	}
	if _, begun := r.View(); !begun {
		t.Error("there was a view, and it has not begun")
	}
	r.Apply(view(1, "a", "b"), now)
	if r.Certain(now) || r.Awake(now) != 0 || r.Peer("b").Answers(now) {
		t.Error("it is certain, or has stood still, or another replica answers")
	}
	if !r.BeatsDue(now) || r.BeatsDue(now+1) {
		t.Error("the first beats are not due at once, or twice")
	}
	r.Apply(view(2, "a"), now)
	if r.Peer("b") != nil {
		t.Error("a replica is remembered that never was there")
	}
}

// TestBeatsWaitToBeRead shows that a process that has stood still does not lose the others at once: their beats may wait to be read.
func TestBeatsWaitToBeRead(t *testing.T) {
	v := view(1, "a", "b")
	r := replica(v)
	r.took(beat("b", v, 0, 0))
	thaw(t, r, 0, time.Minute)
	if r.Silent(at(time.Minute+silence/2-1)) || !r.Reaches("b") {
		t.Error("another replica is lost before its beats are read")
	}
	if !r.Silent(at(time.Minute + silence/2)) {
		t.Error("another replica is not lost")
	}
	r.took(beat("b", v, 2*time.Minute, 0))
	thaw(t, r, 2*time.Minute-time.Second, 2*time.Minute)
	if got := r.Peer("b").Heard; got != at(2*time.Minute) {
		t.Errorf("a beat that has just come is from %s", got.Sub(at(0)))
	}
}

// history is a roster, and all that it was given, as plain lists.
type history struct {
	*Roster
	now    breaker.Instant
	ids    []string
	views  []membership.View
	leases []breaker.Instant            // their ends
	echoes map[string][]breaker.Instant // our beats that a member has confirmed, since the view came or the process stood still
	sent   map[string]breaker.Instant   // the last beat of each
	looked breaker.Instant
	doubts bool            // it has stood still, and was not confirmed since
	thawed breaker.Instant // when that was
}

func (h *history) view() *membership.View { return &h.views[len(h.views)-1] }

func (h *history) pass(t *rapid.T) {
	h.now = h.now.Add(time.Duration(rapid.Int64Range(0, int64(700*time.Millisecond)).Draw(t, "time")))
	h.Awake(h.now)
	h.noteAwake()
	h.Look(h.now)
	h.looked = h.now
}

// freeze lets time pass in which the process may stand still.
func (h *history) freeze(t *rapid.T) {
	h.now = h.now.Add(time.Duration(rapid.Int64Range(0, int64(3*time.Second)).Draw(t, "still")))
	h.Awake(h.now)
	h.noteAwake()
}

func (h *history) noteAwake() {
	if h.looked != 0 && h.now.Sub(h.looked) >= frozen {
		h.looked, h.doubts, h.thawed, h.leases = h.now, true, h.now, nil
		clear(h.echoes)
	}
}

func (h *history) apply(t *rapid.T) {
	v := view(h.view().Epoch+uint64(rapid.IntRange(0, 1).Draw(t, "later")), slices.DeleteFunc(slices.Clone(h.ids), func(string) bool {
		return rapid.IntRange(0, 3).Draw(t, "leaves") == 0
	})...)
	v.Nonce = fmt.Sprint(len(h.views))
	h.views = append(h.views, v)
	h.Apply(v, h.now)
	h.leases = nil
	clear(h.echoes)
}

func (h *history) renew(t *rapid.T) {
	asked := h.now.Add(-time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "asked")))
	epoch := h.view().Epoch - uint64(rapid.IntRange(0, 1).Draw(t, "late"))
	h.Renew(epoch, asked, asked.Add(Lease))
	if epoch == h.view().Epoch {
		h.leases = append(h.leases, asked.Add(Lease))
		h.doubts = h.doubts && asked < h.thawed
	}
}

func (h *history) beat(t *rapid.T) {
	id := rapid.SampledFrom(h.ids[1:]).Draw(t, "from")
	v := rapid.SampledFrom(h.views).Draw(t, "view")
	if rapid.Bool().Draw(t, "by the last one") {
		v = *h.view()
	}
	echo := h.now.Add(-time.Duration(rapid.Int64Range(0, int64(2*time.Second)).Draw(t, "age")))
	sent := h.now.Add(-time.Duration(rapid.Int64Range(0, 10).Draw(t, "under way")))
	h.TookBeat(h.Meet(member(id)), beat(id, v, sent.Sub(at(0)), echo), h.now)
	if sent >= h.sent[id] {
		h.sent[id] = sent
		if v.Same(h.view()) {
			h.echoes[id] = append(h.echoes[id], echo)
		}
	}
}

// agreed reports whether all other members have confirmed a beat since an instant.
func (h *history) agreed(since breaker.Instant) bool {
	return !slices.ContainsFunc(h.view().Members, func(m membership.Member) bool {
		return m.ID != "a" && !slices.ContainsFunc(h.echoes[m.ID], func(at breaker.Instant) bool { return at >= since })
	})
}

func (h *history) check(t *rapid.T) {
	right := slices.ContainsFunc(h.leases, func(until breaker.Instant) bool { return h.now < until }) ||
		!h.LeasesOnly && h.view().Has("a") && h.agreed(h.now.Add(1-Lease))
	if got, want := h.Certain(h.now), right && !h.doubts; got != want {
		t.Fatalf("certain: %t, want %t; in doubt: %t, leases %v, confirmed %v", got, want, h.doubts, h.leases, h.echoes)
	}
	if rapid.Bool().Draw(t, "ask for doubt") {
		h.doubts = h.doubts && h.view().Has("a") && !h.agreed(h.thawed) && h.now.Sub(h.thawed) < doubt
		if got := h.InDoubt(h.now); got != h.doubts {
			t.Fatalf("in doubt: %t, want %t; confirmed %v", got, h.doubts, h.echoes)
		}
	}
}

// TestRightToAct shows that leases and the agreement of all members give the right to act, and nothing else does, whatever has happened.
func TestRightToAct(t *testing.T) {
	rights, doubts := 0, 0
	for round := range 5 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				h := &history{
					Roster: New(member("a"), rapid.Bool().Draw(t, "leases only")), now: at(0), ids: []string{"a", "b", "c"},
					views: []membership.View{view(1, "a", "b")}, echoes: map[string][]breaker.Instant{}, sent: map[string]breaker.Instant{},
				}
				h.Apply(h.views[0], h.now)
				t.Repeat(map[string]func(*rapid.T){
					"pass": h.pass, "freeze": h.freeze, "apply": h.apply, "renew": h.renew, "beat": h.beat, "another beat": h.beat, "more": h.beat,
					"": func(t *rapid.T) {
						h.check(t)
						if h.Certain(h.now) {
							rights++
						}
						if h.doubts {
							doubts++
						}
					},
				})
			})
		})
	}
	if rights == 0 || doubts == 0 {
		t.Errorf("it had the right to act %d times, and was in doubt %d times, want many", rights, doubts)
	}
}
