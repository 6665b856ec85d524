package outbox

import (
	"slices"
	"testing"
	"time"

	"breakwater.dev/breaker"
)

var payments, search = subject("payments"), subject("search")

func subject(upstream string) breaker.Subject {
	return breaker.Subject{Key: breaker.Key{Upstream: upstream}, Owner: "shop"}
}

// at returns the instant that is d after the tests' beginning.
func at(d time.Duration) breaker.Instant { return breaker.Instant(time.Hour).Add(d) }

// put adds n outcomes of a breaker.
func put(o *Outbox, of breaker.Subject, n int, now breaker.Instant) {
	i := o.Item(of, 0, now)
	i.Outcomes = append(i.Outcomes, make([]breaker.Reported, n)...)
	o.Added(n, false)
}

// probe adds the end of a probe.
func probe(o *Outbox, of breaker.Subject, now breaker.Instant) {
	i := o.Item(of, 0, now)
	i.Settled = append(i.Settled, Settled{Probe: 1})
	o.Added(1, true)
}

func numbers(reports []*Report) (n []uint64) {
	for _, r := range reports {
		n = append(n, r.Number)
	}
	return n
}

// takes fails unless these reports are due at an instant, and Due has said so.
func takes(t *testing.T, o *Outbox, now breaker.Instant, want ...uint64) []*Report {
	t.Helper()
	due, ok := o.Due()
	reports := o.Take(now)
	if got := numbers(reports); !slices.Equal(got, want) {
		t.Errorf("at %s: got the reports %v, want %v", now.Sub(at(0)), got, want)
	}
	if len(want) > 0 && (!ok || due > now) {
		t.Errorf("at %s: reports are due at %s (%t)", now.Sub(at(0)), due.Sub(at(0)), ok)
	}
	return reports
}

// dueAt fails unless the next report is due at an instant; below 0: there is none.
func dueAt(t *testing.T, o *Outbox, want time.Duration) {
	t.Helper()
	if got, ok := o.Due(); ok != (want >= 0) || ok && got != at(want) {
		t.Errorf("the next report is due at %s (%t), want %s", got.Sub(at(0)), ok, want)
	}
}

// TestOutcomesWaitForOthers shows that outcomes wait for a moment, so that the outcomes of each breaker make one item, and all items one report. The end of a
// probe does not wait, and takes the others along.
func TestOutcomesWaitForOthers(t *testing.T) {
	var o Outbox
	dueAt(t, &o, -1)
	put(&o, payments, 1, at(0))
	put(&o, search, 2, at(4*time.Millisecond))
	put(&o, payments, 3, at(9*time.Millisecond))
	dueAt(t, &o, Pause)
	takes(t, &o, at(Pause-1))
	r := takes(t, &o, at(Pause), 1)[0]
	if len(r.Items) != 2 || r.Items[0].Subject != payments || len(r.Items[0].Outcomes) != 4 || len(r.Items[1].Outcomes) != 2 {
		t.Errorf("the report has %+v", r.Items)
	}
	put(&o, payments, 1, at(20*time.Millisecond))
	probe(&o, search, at(21*time.Millisecond))
	put(&o, payments, 1, at(21*time.Millisecond))
	dueAt(t, &o, 20*time.Millisecond)
	if r := takes(t, &o, at(21*time.Millisecond), 2)[0]; len(r.Items) != 2 {
		t.Errorf("the report has %+v", r.Items)
	}
	put(&o, search, 1, at(30*time.Millisecond))
	takes(t, &o, at(31*time.Millisecond))
	dueAt(t, &o, 30*time.Millisecond+Pause)
}

// TestItemsOfOneBreaker shows which outcomes share an item: they have one breaker, one proxy's identity and one number of hops.
func TestItemsOfOneBreaker(t *testing.T) {
	var o Outbox
	other := payments
	other.Owner = "stock"
	first := o.Item(payments, 0, at(0))
	for _, tt := range []struct {
		name string
		got  *Item
		same bool
	}{
		{"the same", o.Item(payments, 0, at(1)), true},
		{"another hop", o.Item(payments, 1, at(1)), false},
		{"another identity", o.Item(other, 0, at(1)), false},
		{"another breaker", o.Item(search, 0, at(1)), false},
	} {
		if (tt.got == first) != tt.same {
			t.Errorf("%s: shares the item: %t, want %t", tt.name, tt.got == first, tt.same)
		}
	}
	if i := o.Item(payments, 1, at(1)); i.Hops != 1 || i.Subject != payments {
		t.Errorf("the item is %+v", i)
	}
	o.Added(0, false)
	takes(t, &o, at(Pause), 1)
	if o.Item(payments, 0, at(2)) == first {
		t.Error("outcomes are added to an item that was sent")
	}
}

// TestReportsAreSentAgain shows that a report is sent again when it was not confirmed for a while, each in its own time, and no longer when it
// was.
func TestReportsAreSentAgain(t *testing.T) {
	o := Outbox{Session: 7}
	probe(&o, payments, at(0))
	takes(t, &o, at(0), 1)
	dueAt(t, &o, again)
	probe(&o, payments, at(again-time.Millisecond))
	takes(t, &o, at(again-time.Millisecond), 2)
	takes(t, &o, at(again), 1)
	dueAt(t, &o, 2*again-time.Millisecond) // the second one
	takes(t, &o, at(2*again-time.Millisecond), 2)
	takes(t, &o, at(2*again-1))

	o.Arrived(6, 2)
	o.Arrived(8, 2)
	takes(t, &o, at(5*again), 1, 2) // another session says nothing
	o.Arrived(7, 1)
	takes(t, &o, at(6*again), 2)
	o.Arrived(7, 1)
	o.Arrived(7, 2)
	takes(t, &o, at(9*again))
	dueAt(t, &o, -1)
	probe(&o, payments, at(9*again))
	takes(t, &o, at(9*again), 3)
}

// TestOldest shows since when an outcome has waited: not since its report was last sent.
func TestOldest(t *testing.T) {
	var o Outbox
	oldest := func(want time.Duration) {
		t.Helper()
		if got, ok := o.Oldest(); ok != (want >= 0) || ok && got != at(want) {
			t.Errorf("the oldest outcome is from %s (%t), want %s", got.Sub(at(0)), ok, want)
		}
	}
	oldest(-1)
	put(&o, payments, 1, at(3))
	oldest(3)
	takes(t, &o, at(Pause+3), 1)
	takes(t, &o, at(time.Second), 1)
	oldest(3) // though it was just sent
	put(&o, search, 1, at(time.Second))
	takes(t, &o, at(2*time.Second), 1, 2)
	oldest(3)
	o.Recall(func(k breaker.Key) bool { return k == payments.Key }, true)
	oldest(time.Second) // the first report has nothing any longer
	put(&o, payments, 1, at(3*time.Second))
	o.Arrived(0, 2)
	oldest(3 * time.Second)
	takes(t, &o, at(4*time.Second), 3)
	o.Arrived(0, 3)
	oldest(-1)
}

// TestRecall shows what is taken out when a breaker has moved: the items that wait for it, and the items that were sent, only if the replica is gone.
func TestRecall(t *testing.T) {
	moved := func(k breaker.Key) bool { return k == payments.Key }
	outcomes := func(items []*Item) (n []int) {
		for _, i := range items {
			n = append(n, len(i.Outcomes))
		}
		return n
	}
	for _, tt := range []struct {
		gone bool
		want []int
		left int // outcomes of the first report
	}{{false, []int{4, 8}, 3}, {true, []int{1, 4, 8}, 2}} {
		var o Outbox
		put(&o, payments, 1, at(0))
		put(&o, search, 2, at(0))
		first := takes(t, &o, at(Pause), 1)[0]
		put(&o, payments, 4, at(Pause))
		o.Item(payments, 1, at(Pause)).Outcomes = make([]breaker.Reported, 8)
		o.Added(8, true)
		put(&o, search, 16, at(Pause))
		items := o.Recall(moved, tt.gone)
		if got := outcomes(items); !slices.Equal(got, tt.want) {
			t.Errorf("gone: %t: got back %v, want %v", tt.gone, got, tt.want)
		}
		if n := first.outcomes(); n != tt.left {
			t.Errorf("gone: %t: the report that was sent has %d outcomes, want %d", tt.gone, n, tt.left)
		}
		if again := o.Recall(moved, tt.gone); len(again) != 0 {
			t.Errorf("gone: %t: got back %v twice", tt.gone, outcomes(again))
		}
		if o.Item(payments, 0, at(Pause)) == items[len(items)-1] || o.Dropped != 0 {
			t.Errorf("gone: %t: outcomes are added to an item that was taken out; %d were dropped", tt.gone, o.Dropped)
		}
	}
}

func (r *Report) outcomes() (n int) {
	for _, i := range r.Items {
		n += i.outcomes()
	}
	return n
}

// TestRecallOfAllThatWaits shows that outcomes wait for others as before when all of them were taken out, also urgent ones.
func TestRecallOfAllThatWaits(t *testing.T) {
	var o Outbox
	probe(&o, payments, at(0))
	if items := o.Recall(func(breaker.Key) bool { return true }, false); len(items) != 1 {
		t.Fatalf("got back %d items", len(items))
	}
	dueAt(t, &o, -1)
	put(&o, search, 1, at(time.Second))
	dueAt(t, &o, time.Second+Pause)
	takes(t, &o, at(time.Second))
}

// TestTooManyOutcomes shows that the oldest outcomes are dropped, those that were sent before those that wait, and that they are counted.
func TestTooManyOutcomes(t *testing.T) {
	var o Outbox
	put(&o, payments, maxOutcomes-11, at(0))
	takes(t, &o, at(Pause), 1)
	put(&o, search, 4, at(Pause))
	takes(t, &o, at(2*Pause), 2)
	put(&o, search, 4, at(2*Pause)) // with three items there is room for no other outcome
	if o.Dropped != 0 {
		t.Errorf("%d outcomes were dropped, though there is room", o.Dropped)
	}
	put(&o, search, 1, at(2*Pause))
	if want := uint64(maxOutcomes - 11); o.Dropped != want {
		t.Errorf("%d outcomes were dropped, want %d", o.Dropped, want)
	}
	reports := takes(t, &o, at(time.Minute), 1, 2, 3) // every number has to arrive
	for n, want := range []int{0, 4, 5} {
		if got := reports[n].outcomes(); got != want {
			t.Errorf("report %d has %d outcomes, want %d", n+1, got, want)
		}
	}
	before := o.Dropped
	put(&o, payments, 5, at(time.Minute))
	put(&o, search, maxOutcomes-2, at(time.Minute))
	if got := o.Dropped - before; got != 4+5+5 {
		t.Errorf("%d outcomes were dropped, want those that were sent and the first that waited", got)
	}
	if o.Item(payments, 0, at(time.Minute)); len(o.waiting) != 2 || len(o.waiting[1].Outcomes) != 0 {
		t.Error("outcomes are added to an item that was dropped")
	}
	o.Arrived(0, 3)
	if want := maxOutcomes; o.size != want {
		t.Errorf("%d outcomes and items are kept, want %d", o.size, want)
	}
}

// TestRoomForOutcomesThatWait shows that outcomes are kept up to the bound, and that a single item is kept whole, however large it is: it is sent soon.
func TestRoomForOutcomesThatWait(t *testing.T) {
	var o Outbox
	put(&o, payments, 1, at(0))
	put(&o, search, maxOutcomes-3, at(0))
	if o.Dropped != 0 || len(o.waiting) != 2 {
		t.Errorf("%d outcomes were dropped, though there is room", o.Dropped)
	}
	o = Outbox{}
	put(&o, payments, maxOutcomes+5, at(0))
	if o.Dropped != 0 || len(o.waiting) != 1 {
		t.Errorf("%d outcomes of a single item were dropped", o.Dropped)
	}
}

// TestInbox shows that each report of a session counts once, in any order, and that sessions before the last one are over.
func TestInbox(t *testing.T) {
	var i Inbox
	for _, step := range []struct {
		session, number uint64
		want            bool
		upto            uint64
	}{
		{1, 0, false, 0}, // there is no such number
		{1, 2, true, 0},
		{1, 2, false, 0},
		{1, 4, true, 0},
		{1, 1, true, 2},
		{1, 1, false, 2},
		{1, 4, false, 2},
		{1, 3, true, 4},
		{1, 4, false, 4},
		{3, 2, true, 0}, // the numbers begin again
		{1, 5, false, 0},
		{2, 1, false, 0},
		{3, 1, true, 2},
	} {
		if got := i.Accept(step.session, step.number); got != step.want || i.Upto() != step.upto {
			t.Errorf("session %d, number %d: accepted %t, up to %d; want %+v", step.session, step.number, got, i.Upto(), step)
		}
	}
	if len(i.beyond) != 0 || i.Session != 3 {
		t.Errorf("session %d, beyond %v; want 3 and none", i.Session, i.beyond)
	}
}
