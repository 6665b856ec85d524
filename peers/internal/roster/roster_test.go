package roster

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"breakwater.dev/breaker"
	"breakwater.dev/membership"
	"breakwater.dev/peers/internal/peerspb"
	"breakwater.dev/peers/internal/places"
)

// at returns the instant that is d after the tests' beginning.
func at(d time.Duration) breaker.Instant { return breaker.Instant(time.Hour).Add(d) }

func member(id string) membership.Member {
	return membership.Member{ID: id, Address: id + ":18000", Name: "name of " + id}
}

// view returns the view of an epoch with these members.
func view(epoch uint64, ids ...string) membership.View {
	v := membership.View{Epoch: epoch, Nonce: "by " + string(rune('a'+epoch))}
	for _, id := range ids {
		v.Members = append(v.Members, member(id))
	}
	return v
}

// replica returns the roster of a, by a view.
func replica(v membership.View) *Roster {
	r := New(member("a"), false)
	r.Apply(v, at(0))
	return r
}

// beat returns a beat of a replica that acts by a view. Its echo is the beat that a has sent at an instant; 0: it has none.
func beat(id string, v membership.View, sent time.Duration, echo breaker.Instant) *peerspb.Beat {
	return &peerspb.Beat{From: memberOut(member(id)), View: ViewOut(&v), Sent: int64(at(sent)), Echo: int64(echo)}
}

// took has a take a beat as soon as it is sent.
func (r *Roster) took(b *peerspb.Beat) News {
	return r.TookBeat(r.Meet(memberIn(b.GetFrom())), b, breaker.Instant(b.GetSent()))
}

// TestViewsOnTheWire shows that views are read as they were written.
func TestViewsOnTheWire(t *testing.T) {
	want := view(7, "a", "b")
	want.Follows = "the one before"
	if diff := cmp.Diff(want, ViewIn(ViewOut(&want))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(membership.View{}, ViewIn(nil)); diff != "" {
		t.Errorf("no message (-want +got):\n%s", diff)
	}
}

// TestApply shows which views come into force, and which follow the one before directly.
func TestApply(t *testing.T) {
	r := New(member("a"), false)
	if v, begun := r.View(); begun || r.Member() || v.Epoch != 0 {
		t.Errorf("a new roster has the view %+v, begun %t", v, begun)
	}
	other := view(2, "a", "b")
	other.Nonce = "another store's"
	follows := view(3, "a")
	follows.Follows = other.Nonce
	missed := view(5, "b")
	missed.Follows = "a view that this replica has missed"
	for _, step := range []struct {
		name             string
		v                membership.View
		changed, follows bool
	}{
		{"the first", view(2, "a", "b"), true, false},
		{"the same", view(2, "a", "b"), false, false},
		{"an older one", view(1, "a"), false, false},
		{"another one of the same epoch", other, true, false},
		{"the next", follows, true, true},
		{"one later", missed, true, false},
		{"one that says nothing of the one before", view(6, "a"), true, false},
	} {
		changed, follows := r.Apply(step.v, at(0))
		if changed != step.changed || follows != step.follows {
			t.Errorf("%s: changed %t, follows %t; want %t, %t", step.name, changed, follows, step.changed, step.follows)
		}
		if v, begun := r.View(); changed && (!begun || v.Nonce != step.v.Nonce) {
			t.Errorf("%s: the view in force is %+v", step.name, v)
		}
	}
	blank := New(member("a"), false)
	v := view(1, "a")
	v.Nonce = ""
	if _, follows := blank.Apply(v, at(0)); follows {
		t.Error("the first view follows none")
	}
	next := view(2, "a")
	next.Follows = ""
	if _, follows := blank.Apply(next, at(0)); follows {
		t.Error("a view that says nothing of the one before follows it")
	}
}

// TestForgetting shows for how long replicas are remembered that are no members.
func TestForgetting(t *testing.T) {
	r := replica(view(1, "a", "met", "reached", "silent", "never"))
	for _, id := range []string{"met", "reached", "silent"} {
		r.took(beat(id, view(1), 0, 0))
	}
	r.Silent(at(silence))
	r.took(beat("met", view(1), time.Minute, 0))
	r.took(beat("reached", view(1), time.Minute, 0))
	r.Silent(at(time.Minute + silence))
	r.took(beat("reached", view(1), time.Minute+silence, 0)) // only it is not silent
	known := func() (ids []string) {
		for _, p := range r.Peers() {
			ids = append(ids, p.ID)
		}
		return ids
	}
	for _, step := range []struct {
		epoch   uint64
		members []string
		now     time.Duration
		want    []string
	}{
		{2, []string{"a", "met", "never"}, forgetting - 1, []string{"met", "never", "reached", "silent"}},
		{3, []string{"a"}, forgetting - 1, []string{"met", "reached", "silent"}},
		{4, []string{"a", "silent"}, forgetting, []string{"met", "reached", "silent"}},
		{5, []string{"a"}, forgetting, []string{"met", "reached"}},
		{6, []string{"a"}, time.Hour, []string{"reached"}},
	} {
		r.Apply(view(step.epoch, step.members...), at(step.now))
		if got := known(); !slices.Equal(got, step.want) {
			t.Errorf("epoch %d: %v are known, want %v", step.epoch, got, step.want)
		}
	}
	if r.Peer("met") != nil || r.Peer("reached") == nil {
		t.Error("Peer returns a replica that is forgotten, or not one that is known")
	}
	if p := r.Meet(member("met")); p.Met || p != r.Meet(member("met")) || p != r.Peer("met") {
		t.Errorf("a replica that was forgotten and is met again is %+v", p)
	}
}

// TestBeats shows the consequences of beats: which replicas are reached, back, or lost, and whether breakers may have moved.
func TestBeats(t *testing.T) {
	r := replica(view(2, "a", "b"))
	leaving := beat("b", view(2), 500*time.Millisecond, 0)
	leaving.Leaving = true
	hears := beat("b", view(2), 300*time.Millisecond, 0)
	hears.Hears = []string{"c"}
	for _, step := range []struct {
		name    string
		beat    *peerspb.Beat
		want    News
		reached bool
	}{
		{"the first", beat("b", view(2), 100*time.Millisecond, 0), News{Back: true}, true},
		{"the next", beat("b", view(2), 200*time.Millisecond, 0), News{}, true},
		{"one that reaches another replica", hears, News{Moved: true}, true},
		{"one that comes late", beat("b", view(2), 200*time.Millisecond, 0), News{Late: true}, true},
		{"one that comes twice", hears, News{}, true},
		{"one by an older view", beat("b", view(1), 400*time.Millisecond, 0), News{Moved: true, Behind: true}, true},
		{"one that leaves", leaving, News{Lost: true}, false},
		{"the next one that leaves", leaving, News{}, false},
		{"a late one of a replica that leaves", beat("b", view(2), 450*time.Millisecond, 0), News{Late: true}, false},
		{"one by a newer view that leaves no longer", beat("b", view(3), 600*time.Millisecond, 0), News{Back: true}, true},
	} {
		if got := r.took(step.beat); got != step.want {
			t.Errorf("%s: got %+v, want %+v", step.name, got, step.want)
		}
		if got := r.Reaches("b"); got != step.reached || (len(r.Reached()) == 1) != step.reached {
			t.Errorf("%s: reached: %t, want %t", step.name, got, step.reached)
		}
	}
	want := &Peer{Member: member("b"), Reached: true, Epoch: 3, Heard: at(600 * time.Millisecond), Met: true, echo: int64(at(600 * time.Millisecond))}
	if diff := cmp.Diff(want, r.Peer("b"), cmp.AllowUnexported(Peer{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if r.Reaches("nobody") {
		t.Error("a replica that is not known is reached")
	}
}

// TestSilence shows when a replica is lost that sends no beats, and that a beat that comes late does not bring it back.
func TestSilence(t *testing.T) {
	r := replica(view(1, "a", "b", "c"))
	r.took(beat("b", view(1), 0, 0))
	r.took(beat("c", view(1), time.Second, 0))
	if r.Silent(at(silence-1)) || len(r.Reached()) != 2 {
		t.Error("a replica is lost too early")
	}
	b := r.Peer("b")
	if !r.Silent(at(silence)) || r.Reaches("b") || !r.Reaches("c") || b.Answers(at(silence)) {
		t.Error("a silent replica is not lost, or another one is")
	}
	if r.Silent(at(silence)) {
		t.Error("a replica is lost twice")
	}
	r.TookBeat(b, beat("b", view(1), -1, 0), at(3*time.Second))
	if r.Reaches("b") {
		t.Error("a beat from before brings a lost replica back")
	}
	if news := r.took(beat("b", view(1), 4*time.Second, 0)); !news.Back || !b.Answers(at(time.Hour)) {
		t.Errorf("a replica that is back: %+v", news)
	}
	leaving := beat("b", view(1), 5*time.Second, 0)
	leaving.Leaving = true
	r.took(leaving)
	if !b.Answers(at(5*time.Second+silence-1)) || b.Answers(at(5*time.Second+silence)) {
		t.Error("a replica that leaves answers for as long as it is not silent")
	}
}

// TestBeatOut shows the content of a beat: its sender, the view, the last beat of the receiver, and the other replicas that the sender reaches.
func TestBeatOut(t *testing.T) {
	v := view(4, "a", "b", "c", "d")
	r := replica(v)
	for i, id := range []string{"d", "b", "c"} {
		r.took(beat(id, v, time.Duration(i), 0))
	}
	leaving := beat("c", v, time.Second, 0)
	leaving.Leaving = true
	r.took(leaving)
	r.Leaving = true
	got := r.Beat(r.Peer("b"), at(time.Minute))
	want := &peerspb.Beat{From: memberOut(member("a")), View: ViewOut(&v), Sent: int64(at(time.Minute)), Echo: int64(at(1)), Leaving: true, Hears: []string{"d"}}
	if got.String() != want.String() {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestBeatsDue shows when beats are sent.
func TestBeatsDue(t *testing.T) {
	r := New(member("a"), false)
	for _, step := range []struct {
		now  time.Duration
		want bool
	}{{0, true}, {0, false}, {Period - 1, false}, {Period, true}, {2*Period - 1, false}, {5 * Period, true}} {
		if got := r.BeatsDue(at(step.now)); got != step.want {
			t.Errorf("after %s beats are due: %t, want %t", step.now, got, step.want)
		}
	}
}

// TestReach shows what places are made of: members only, without this replica when it leaves.
func TestReach(t *testing.T) {
	r := replica(view(1, "a", "b", "c"))
	hears := beat("b", view(1), 0, 0)
	hears.Hears = []string{"c", "d"}
	r.took(hears)
	r.took(beat("d", view(1), 0, 0)) // no member
	want := &places.Reach{Self: "a", Members: []string{"a", "b", "c"}, Beyond: map[string][]string{"b": {"c", "d"}}}
	if diff := cmp.Diff(want, r.Reach()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	r.Leaving = true
	want.Members = []string{"b", "c"}
	if diff := cmp.Diff(want, r.Reach()); diff != "" {
		t.Errorf("leaving (-want +got):\n%s", diff)
	}
}
