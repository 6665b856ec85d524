package quorum

import (
	"fmt"
	"testing"
	"time"

	"breakwater.dev/instant"
	"breakwater.dev/membership"
)

// one returns the part of a replica at a1 of a list, which is old enough to promise.
func one(addresses ...string) *Quorum {
	n := 0
	q := New(Options{Self: membership.Member{ID: "self", Address: "a1"}, Nonce: func() string { n++; return fmt.Sprintf("own-%d", n) }}, 0)
	q.Addresses(addresses, 0)
	return q
}

func seconds(s float64) instant.Instant { return instant.Instant(s * float64(time.Second)) }

// TestOnlyFreshViewsAreAccepted: a leader may have sent a message long ago, and no longer lead. Its view counts when it answers what
// this replica has said since it began to support it.
func TestOnlyFreshViewsAreAccepted(t *testing.T) {
	q := one("a1", "a2", "a3")
	leader := membership.Member{ID: "leader", Address: "a2"}
	view := membership.View{Epoch: 7, Nonce: "x", Members: []membership.Member{leader}}
	m := &Message{To: "a1", For: "self", Sent: 1, Echo: seconds(9), Meets: 3, Leads: true, View: view}
	out := q.Receive(leader, m, seconds(10))
	if q.supporting(seconds(10)) != "leader" || out.Result.View.Epoch != 0 {
		t.Fatalf("it supports %q, and has epoch %d; want the leader, and no view yet", q.supporting(seconds(10)), out.Result.View.Epoch)
	}
	var answered instant.Instant
	for _, e := range out.Messages {
		if e.Message.At == "a1" && e.Message.Backs {
			answered = e.Message.Sent
		}
	}
	m.Sent, m.Echo = 2, answered
	if out := q.Receive(leader, m, seconds(10.1)); out.Result.View.Epoch != 7 {
		t.Errorf("it has epoch %d, want 7", out.Result.View.Epoch)
	}
}

// TestLeaderThatSleptAsksAgain: a leader whose majority was over for a moment does not go on with its view, even if the message that
// wakes it brings the majority back: another replica may have led meanwhile.
func TestLeaderThatSleptAsksAgain(t *testing.T) {
	q := one("a1", "a2", "a3", "a4", "a5")
	member := func(id string) membership.Member { return membership.Member{ID: id, Address: id} }
	has := membership.View{Epoch: 3, Nonce: "three", Members: []membership.Member{member("a2"), q.o.Self}}
	q.view, q.highest, q.leading = has, 3, true
	q.supports, q.end = "self", seconds(11.5)
	q.met["a1"] = meeting{"self", seconds(9.9)}
	q.backers["a1"], q.backers["a2"], q.backers["a3"] = backing{"self", seconds(11.5)}, backing{"a2", seconds(11.5)}, backing{"a3", seconds(10)}
	for _, id := range []string{"a2", "a3"} {
		p := q.peer(member(id))
		p.heard, p.view = seconds(9.9), has
	}
	if !q.leads(seconds(9.99)) || q.leads(seconds(10.5)) {
		t.Fatal("want a majority until 10 s")
	}
	q.Receive(member("a4"), &Message{
		For: "self", Sent: 1, At: "a4", Greeted: seconds(10.4), Backs: true, Supports: "self", View: membership.View{Epoch: 4, Nonce: "of another leader"},
	}, seconds(10.5))
	if !q.leading || q.view.Epoch <= 4 || q.view.Follows != "" {
		t.Errorf("leads: %v, with epoch %d after %q; want a view above 4 that follows none", q.leading, q.view.Epoch, q.view.Follows)
	}
}

// TestViewsOfOthersAreNotAccepted: a replica accepts no view while it supports another leader, or none.
func TestViewsOfOthersAreNotAccepted(t *testing.T) {
	q := one("a1", "a2", "a3")
	leader, other := membership.Member{ID: "leader", Address: "a2"}, membership.Member{ID: "other", Address: "a3"}
	said := func(view membership.View) *Message {
		return &Message{To: "a1", For: "self", Sent: 1, Echo: seconds(10), Meets: 3, Leads: true, View: view}
	}
	q.Receive(leader, &Message{To: "a1", Sent: 1, Meets: 3, Leads: true}, seconds(10))
	if out := q.Receive(other, said(membership.View{Epoch: 9, Nonce: "y"}), seconds(10.1)); out.Result.View.Epoch != 0 {
		t.Errorf("it has epoch %d of a leader that it does not support", out.Result.View.Epoch)
	}
	q = one("a1", "a2", "a3")
	if out := q.Receive(leader, said(membership.View{Epoch: 9, Nonce: "y"}), seconds(1)); out.Result.View.Epoch != 0 {
		t.Errorf("it has epoch %d before it may promise anything", out.Result.View.Epoch)
	}
}

// TestOnlyWatchersLead: a replica whose addresses come from a name counts no majority before it has watched the name for a minute, or
// knows the lists of a replica that has, and none when the last list is too old.
func TestOnlyWatchersLead(t *testing.T) {
	watcher := func() *Quorum {
		q := New(Options{Self: membership.Member{ID: "self", Address: "a1"}, Changing: true}, 0)
		q.Addresses([]string{"a1", "a2"}, seconds(1))
		q.backers["a1"], q.backers["a2"] = backing{"self", seconds(1000)}, backing{"other", seconds(1000)}
		return q
	}
	counts := func(q *Quorum, now float64) bool { return q.majority(everyone, seconds(now)) > seconds(now) }
	q := watcher()
	for at := 1.0; at <= 61; at += 3 {
		q.Addresses([]string{"a1", "a2"}, seconds(at))
		if got, want := counts(q, at), at >= 61; got != want {
			t.Errorf("after %v s: counts a majority: %v, want %v", at-1, got, want)
		}
	}
	if !counts(q, 80.9) || counts(q, 81) {
		t.Error("want a majority until the last list is 20 s old")
	}

	lists := [][]string{{"a1", "a2"}, {"a1", "a2", "a3", "a4"}}
	q = watcher()
	q.inherit(lists, seconds(0.9), seconds(2))
	if counts(q, 2) || len(q.counting(seconds(2))) != 1 {
		t.Error("it takes lists of before it watched: some between may be missing")
	}
	q.inherit(lists, seconds(1.5), seconds(2))
	if counts(q, 2) || len(q.counting(seconds(2))) != 2 {
		t.Error("want both lists, and no majority of the second one")
	}
	q.backers["a3"] = backing{"third", seconds(1000)}
	if !counts(q, 2) {
		t.Error("want a majority of both lists without a minute of watching")
	}
}

// TestLateMessagesSayNothing: a message that was sent before another one, and comes after it, changes nothing.
func TestLateMessagesSayNothing(t *testing.T) {
	q := one("a1", "a2", "a3")
	other := membership.Member{ID: "other", Address: "a2"}
	q.Receive(other, &Message{Sent: 2, View: membership.View{Epoch: 5, Nonce: "later"}, Leaving: true}, seconds(10))
	q.Receive(other, &Message{Sent: 1, View: membership.View{Epoch: 4, Nonce: "before"}}, seconds(10.1))
	if p := q.peers["other"]; p.view.Epoch != 5 || !p.leaving || p.heard != seconds(10) {
		t.Errorf("it has epoch %d, leaves: %v; want the later message's", p.view.Epoch, p.leaving)
	}
}
