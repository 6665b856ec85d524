package breaker

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// nodeRig returns an engine whose one key has a breaker for each proxy.
func nodeRig(t *testing.T, cfg Config) *rig {
	r := &rig{t: t, now: epoch}
	r.engine = NewEngine(Options{Listen: func(tr Transition) { r.transitions = append(r.transitions, tr) }})
	r.perNode(cfg)
	return r
}

func (r *rig) perNode(cfg Config) Changes {
	return r.engine.Apply([]Spec{{Key: keyA, Config: cfg, Lease: 20 * time.Second, PerNode: true}}, r.now)
}

// node makes calls through a proxy.
func (r *rig) node(node string, outcomes ...Outcome) *Breaker {
	r.t.Helper()
	b := r.engine.Node(keyA, node, r.now)
	for _, o := range outcomes {
		p, d := b.Acquire(r.now)
		if !d.Admitted {
			r.t.Fatalf("node %s is rejected in state %s", node, d.State)
		}
		p.Done(o, r.now)
	}
	return b
}

// all returns the status of the key, the sum over all proxies.
func (r *rig) all() Status { return r.engine.Snapshot(r.now)[0] }

// TestNodesHaveBreakersOfTheirOwn: the failures that one proxy sees open its breaker alone.
func TestNodesHaveBreakersOfTheirOwn(t *testing.T) {
	r := nodeRig(t, runRule(2))
	if got := r.engine.Breaker(Key{Upstream: "a", Node: "n1"}); got != nil {
		t.Errorf("breaker %v of a proxy that has not come yet", got.key())
	}
	n1, n2 := r.node("n1", Failure), r.node("n2", Failure, Success)
	r.node("", Success)
	r.wantState(Closed, 0)
	if again := r.engine.Node(keyA, "n1", r.now); again != n1 || n1 == n2 || r.engine.Breaker(Key{Upstream: "a", Node: "n1"}) != n1 {
		t.Error("a proxy has not one breaker and always the same")
	}
	r.node("n1", Failure)
	if tr := r.transitions[0]; len(r.transitions) != 1 || tr.Key != (Key{Upstream: "a", Node: "n1"}) || tr.Sequence != 1 {
		t.Fatalf("transitions %+v, want one of n1", r.transitions)
	}
	if _, d := r.engine.Acquire(Key{Upstream: "a", Node: "n1"}, r.now); d.Admitted {
		t.Error("n1 is admitted, want rejected")
	}
	r.node("n2", Success)
	if r.engine.Node(Key{Upstream: "z"}, "n1", r.now) != nil {
		t.Error("a breaker of a key that does not exist")
	}
	shared := newRig(t, runRule(1))
	if b := shared.engine.Breaker(keyA); shared.engine.Node(keyA, "n1", shared.now) != b || shared.engine.Breaker(Key{Upstream: "a", Node: "n1"}) != nil {
		t.Error("where all proxies share a breaker, one has its own")
	}
}

// TestNodesTogether: the status of the key is the sum, and as bad as the worst.
func TestNodesTogether(t *testing.T) {
	r := nodeRig(t, runRule(2))
	r.node("", Success)
	r.node("n1", Success, Failure, Ignored).Acquire(r.now)
	r.after(time.Second)
	r.node("n2", Timeout, Failure)
	opened := r.now
	_, _ = r.engine.Acquire(Key{Upstream: "a", Node: "n2"}, r.now)
	r.after(time.Second)
	got := r.engine.Snapshot(r.now)
	if len(got) != 3 || got[1].Key.Node != "n1" || got[2].Key.Node != "n2" {
		t.Fatalf("%d statuses, want those of the key, n1 and n2", len(got))
	}
	all := got[0]
	want := Status{
		Key: keyA, Config: all.Config, State: Open, Generation: 2, Since: opened, RetryAfter: 29 * time.Second, InFlight: 1,
		Window: WindowCounts{Calls: 3, Failures: 1, Run: 1}, LastFailure: opened, Openings: 1, Nodes: 2, OpenNodes: 1, Episode: got[2].Episode,
		Counts: Counts{Requests: 8, Rejected: 1, Successes: 2, Failures: 3, Timeouts: 1, Ignored: 1},
	}
	if flat(all) != flat(want) {
		t.Errorf("status\n%+v, want\n%+v", flat(all), flat(want))
	}
	r.after(29 * time.Second)
	r.engine.Node(keyA, "n2", r.now).Acquire(r.now)
	if got := r.all(); got.State != HalfOpen || got.ProbesInFlight != 1 || got.InFlight != 2 || got.OpenNodes != 0 {
		t.Errorf("status %+v, want half-open with one probe and two calls in flight", got)
	}
}

// TestNodesAreBounded: a proxy beyond the bound shares the breaker of the key.
func TestNodesAreBounded(t *testing.T) {
	r := nodeRig(t, runRule(1))
	for i := range maxNodes {
		if r.node(fmt.Sprint(i)) == r.engine.Breaker(keyA) {
			t.Fatalf("proxy %d has no breaker of its own", i)
		}
	}
	if b := r.node("one more", Success); b != r.engine.Breaker(keyA) {
		t.Error("one proxy more than there may be has a breaker of its own")
	}
	if got := len(r.engine.Snapshot(r.now)); got != maxNodes+1 {
		t.Errorf("%d statuses, want %d", got, maxNodes+1)
	}
}

// TestNodesOfOneOwnerAreBounded: an owner that makes up names leaves room for others, which
// have breakers of their own. When the names that it made up are idle, it may have new ones.
func TestNodesOfOneOwnerAreBounded(t *testing.T) {
	r := nodeRig(t, runRule(1))
	own := func(node, owner string) bool {
		p, _ := r.engine.nodeOf(keyA, node, owner, r.now).Acquire(r.now)
		p.Done(Success, r.now)
		return r.engine.Breaker(Key{Upstream: "a", Node: node}) != nil
	}
	for i := range maxOwned + 100 {
		if got, want := own(fmt.Sprint("thief-", i), "thief"), i < maxOwned; got != want {
			t.Fatalf("name %d that somebody makes up has a breaker of its own: %t, want %t", i, got, want)
		}
	}
	for _, owner := range []string{"shop", ""} {
		if !own(owner+"-1", owner) {
			t.Errorf("a proxy of %q has no breaker of its own", owner)
		}
	}
	for range 2 {
		r.after(time.Minute)
		own("thief-one-more", "thief")
		own("shop-1", "shop")
	}
	if !own("thief-one-more", "thief") {
		t.Error("there is no room though its breakers are idle")
	}
}

// TestNodesThatAreGoneAreSwept: no sum falls by that, and no state is forgotten that still
// matters.
func TestNodesThatAreGoneAreSwept(t *testing.T) {
	cfg := runRule(1)
	cfg.BackoffMultiplier, cfg.BackoffMax = 200, MaxDuration
	r := nodeRig(t, cfg)
	quiet := r.node("quiet", Success, Ignored)
	r.node("tripped", Failure)
	hangs := r.node("hangs")
	p, _ := hangs.Acquire(r.now)
	o := Override{State: Closed, By: "me", Note: "why", Until: r.now.Add(MaxDuration)}
	r.node("forced")
	if err := r.engine.Force(Key{Upstream: "a", Node: "forced"}, o, r.now); err != nil {
		t.Fatal(err)
	}
	var last uint64
	sweep := func(busy Outcome) {
		t.Helper()
		r.after(time.Duration(idleTime))
		r.node("busy", busy)
		r.node(fmt.Sprint("new at ", r.now))
		got := r.all().Counts
		if sum := got.Rejected + got.Successes + got.Failures + got.Ignored + r.all().InFlight; got.Requests < last || got.Requests != sum {
			t.Errorf("%d requests, want at least %d and %d", got.Requests, last, sum)
		}
		last = got.Requests
	}
	has := func(node string) bool { return r.engine.Breaker(Key{Upstream: "a", Node: node}) != nil }
	sweep(Success)
	if !has("quiet") {
		t.Error("a breaker was swept when it was first looked at")
	}
	for range 3 {
		sweep(Success)
	}
	for node, want := range map[string]bool{"quiet": false, "tripped": true, "hangs": true, "busy": true, "forced": true} {
		if has(node) != want {
			t.Errorf("%s is there: %t, want %t", node, has(node), want)
		}
	}
	if got := r.all().Counts; got.Requests != 8 || got.Successes != 5 || got.Ignored != 1 {
		t.Errorf("counts %+v, want those of the swept too", got)
	}
	quiet.Acquire(r.now) // a handle that its caller kept
	p.Done(Success, r.now)
	if said := len(r.transitions); r.node("quiet") == quiet || said != len(r.transitions) {
		t.Error("a proxy that comes back gets the breaker that was swept")
	}
}

// TestNodesUnderAForce: forcing the key forces all its breakers, also those that are made later.
func TestNodesUnderAForce(t *testing.T) {
	r := nodeRig(t, runRule(1))
	r.node("n1", Success)
	o := r.force(Open, time.Hour)
	r.after(time.Minute)
	late := r.node("n2")
	for _, node := range []string{"", "n1", "n2"} {
		if _, d := r.engine.Node(keyA, node, r.now).Acquire(r.now); d.Admitted || d.State != Open {
			t.Errorf("decision for node %q: %+v, want that all are forced open", node, d)
		}
	}
	if got := late.Status(r.now).Override; got == nil || *got != o {
		t.Errorf("override of a proxy that came later %+v, want %+v", got, o)
	}
	if tr := r.transitions[len(r.transitions)-1]; len(r.transitions) != 3 || tr.Key.Node != "n2" || tr.Edge.Reason != Forced || tr.By != o.By {
		t.Errorf("transitions %+v, want one each by hand", r.transitions)
	}
	if err := r.engine.Reset(Key{Upstream: "a", Node: "n1"}, "me", "why", r.now); err != nil {
		t.Fatal(err)
	}
	r.node("n1", Success)
	if err := r.engine.Reset(Key{Upstream: "a", Node: "n9"}, "me", "why", r.now); !errors.Is(err, ErrUnknown) {
		t.Errorf("error %v, want %v", err, ErrUnknown)
	}
	if got := r.all().State; got != Open {
		t.Errorf("state of all %s, want open as the others are", got)
	}
	r.after(time.Hour)
	if got := r.node("n3").Status(r.now); got.State != Closed || got.Override != nil {
		t.Errorf("a proxy that comes after its end is %s", got.State)
	}
}

// TestTheSharedBreakerOfNodesClosesAfterAForce: nothing may call it, so it could never close by probes. It does so also
// where the end comes while the process is down.
func TestTheSharedBreakerOfNodesClosesAfterAForce(t *testing.T) {
	r := nodeRig(t, runRule(1))
	n1 := r.node("n1", Success)
	r.force(Open, time.Hour)
	saved := r.engine.Export(r.now)
	r.after(time.Hour)
	if shared := r.engine.Breaker(keyA).Status(r.now); shared.State != Closed || n1.Status(r.now).State != HalfOpen {
		t.Errorf("the shared breaker is %s and that of a proxy %s, want closed and half-open", shared.State, n1.Status(r.now).State)
	}
	next := nodeRig(t, runRule(1))
	next.now = r.now.Add(time.Hour)
	next.engine.Restore(saved, 0, next.now)
	if shared := next.engine.Breaker(keyA).Status(next.now); shared.State != Closed {
		t.Errorf("after a restart the shared breaker is %s, want closed", shared.State)
	}
}

// TestNodesOnReload: equal semantics keep the state of each proxy's breaker, and changed
// semantics restart all.
func TestNodesOnReload(t *testing.T) {
	r := nodeRig(t, runRule(1))
	n1 := r.node("n1", Failure)
	if ch := r.perNode(runRule(1)); len(ch.Restarted) > 0 || n1.Status(r.now).State != Open {
		t.Errorf("an equal policy restarted %v", ch.Restarted)
	}
	if ch := r.perNode(runRule(2)); len(ch.Restarted) != 1 || n1.Status(r.now).State != Closed || r.engine.Node(keyA, "n1", r.now) != n1 {
		t.Errorf("restarted %v and n1 is %s, want the key, closed", ch.Restarted, n1.Status(r.now).State)
	}
	if n2 := r.node("n2", Failure); n2.Status(r.now).State != Closed {
		t.Error("a proxy that comes after a reload has the policy of before")
	}
	r.transitions = nil
	if ch := r.apply(runRule(2)); len(ch.Restarted) != 1 || len(r.engine.Snapshot(r.now)) != 1 {
		t.Errorf("restarted %v, want the key when the scope changes", ch.Restarted)
	}
	p, _ := n1.Acquire(r.now)
	p.Done(Failure, r.now)
	p, _ = n1.Acquire(r.now)
	p.Done(Failure, r.now)
	if len(r.transitions) > 0 {
		t.Errorf("transitions %+v of breakers that are gone", r.transitions)
	}
}

// TestRule10NodesAreRestored: they are made, since their proxies have not come yet.
func TestRule10NodesAreRestored(t *testing.T) {
	r := nodeRig(t, runRule(1))
	r.node("n1", Failure)
	r.node("n2", Success)
	saved := r.engine.Export(r.now)
	next := nodeRig(t, runRule(1))
	if got, _ := next.engine.Restore(saved, 0, next.now); len(got) != 1 || got[0] != (Key{Upstream: "a", Node: "n1"}) {
		t.Errorf("restored %v, want n1", got)
	}
	if tr := next.transitions[0]; tr.Edge != (Edge{Closed, Open, Restored}) || tr.Key.Node != "n1" {
		t.Errorf("transition %+v, want that n1 is open", tr)
	}
}

// TestRule10NodesInOtherHandsThanAll: an override of one proxy's breaker outlives a restart,
// and a policy that is removed and added again, also where there is another override for all
// proxies. Proxies that come later have that one.
func TestRule10NodesInOtherHandsThanAll(t *testing.T) {
	n1, n2 := Key{Upstream: "a", Node: "n1"}, Key{Upstream: "a", Node: "n2"}
	r := nodeRig(t, runRule(1))
	r.node("n1", Success)
	r.node("n2", Success)
	all := r.force(Open, time.Hour)
	one := Override{State: Closed, By: "bob", Note: "works for this one", Until: r.now.Add(2 * time.Hour)}
	if err := r.engine.Force(n1, one, r.now); err != nil {
		t.Fatal(err)
	}
	if err := r.engine.Reset(n2, "bob", "let it try", r.now); err != nil {
		t.Fatal(err)
	}
	r.node("n2", Failure)
	want := func(r *rig, what string, restored, lost []Key) {
		t.Helper()
		if len(restored) != 3 || len(lost) > 0 {
			t.Errorf("%s: restored %v and lost %v, want all three", what, restored, lost)
		}
		for key, want := range map[Key]*Override{keyA: &all, n1: &one, n2: nil, {Upstream: "a", Node: "n3"}: &all} {
			got := r.engine.Node(keyA, key.Node, r.now).Status(r.now)
			if (got.Override == nil) != (want == nil) || want != nil && *got.Override != *want || (got.State == Open) != (key != n1) {
				t.Errorf("%s: %s is %s and forced %+v, want %+v", what, key, got.State, got.Override, want)
			}
		}
	}
	saved := r.engine.Export(r.now)
	for _, order := range [][]Saved{saved, {saved[2], saved[1], saved[0]}} {
		next := nodeRig(t, runRule(1))
		restored, lost := next.engine.Restore(order, 0, next.now)
		want(next, "restarted", restored, lost)
	}
	if ch := r.engine.Apply(nil, r.now); len(ch.Kept) != 3 {
		t.Errorf("kept %+v, want all three", ch.Kept)
	}
	ch := r.perNode(runRule(1))
	want(r, "added again", ch.Restored, ch.Forgotten)
}

// TestModeOfAllTogether: the mode of the sum is the override of all proxies, even though a
// breaker that is free of it is in a worse state.
func TestModeOfAllTogether(t *testing.T) {
	r := nodeRig(t, runRule(1))
	r.node("n1", Success)
	r.force(Closed, time.Hour)
	if err := r.engine.Reset(Key{Upstream: "a", Node: "n1"}, "bob", "let it try", r.now); err != nil {
		t.Fatal(err)
	}
	r.node("n1", Failure)
	got := r.engine.Snapshot(r.now)
	if all := got[0]; all.State != Open || all.EffectiveMode() != ForcedClosedByHand || got[1].EffectiveMode() != "Enforce" {
		t.Errorf("%s and %s, and n1 %s; want open, %s, and Enforce", all.State, all.EffectiveMode(), got[1].EffectiveMode(), ForcedClosedByHand)
	}
}

// TestReportOfANode: it goes to the breaker of that proxy, which is made if there is none.
func TestReportOfANode(t *testing.T) {
	r := nodeRig(t, runRule(2))
	r.engine.Report(Key{Upstream: "a", Node: "n1"}, r.reported(Failure, 0, 2), r.now)
	if tr := r.transitions; len(tr) != 1 || tr[0].Key.Node != "n1" {
		t.Errorf("transitions %+v, want that n1 opened", tr)
	}
	shared := newRig(t, runRule(2))
	shared.engine.Report(Key{Upstream: "a", Node: "n1"}, shared.reported(Failure, 0, 2), shared.now)
	shared.want(Edge{Closed, Open, ConsecutiveFailures})
}

// TestNodesThatRememberOpeningsAreNotSwept: they stay until they have forgotten them.
func TestNodesThatRememberOpeningsAreNotSwept(t *testing.T) {
	cfg := runRule(1)
	cfg.SuccessThreshold, cfg.WaitDurationInOpenState = 1, time.Hour
	r := nodeRig(t, cfg)
	r.node("flapping", Failure)
	r.after(time.Hour)
	r.node("flapping", Success)
	closed := r.now
	for i := range 12 {
		r.after(time.Duration(idleTime))
		r.node(fmt.Sprint(i)) // makes the engine look for idle breakers
		there := r.engine.Breaker(Key{Upstream: "a", Node: "flapping"}) != nil
		if past := r.now.Sub(closed); past < time.Hour && !there || past > 80*time.Minute && there {
			t.Errorf("%s after it closed it is there: %t", past, there)
		}
	}
}
