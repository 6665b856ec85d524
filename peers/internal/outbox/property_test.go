package outbox

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"breakwater.dev/breaker"
)

// wire is a replica that reports to another one, over a network that loses messages, carries them twice, and changes their order. Each outcome has a
// number, in its Generation.
type wire struct {
	t    *rapid.T
	now  breaker.Instant
	out  Outbox
	in   Inbox
	last uint64 // the number of the last outcome

	flying  []message
	waiting map[uint64]breaker.Subject // outcomes that have to arrive
	arrived map[uint64]int             // how often each was counted, by receivers that are still there
	gone    map[uint64]int             // the same by receivers and senders that were there before
	back    map[uint64]bool            // outcomes that were taken back
	doubt   map[uint64]bool            // outcomes that may have been in flight when a replica died or was given up
	sent    map[uint64]bool            // outcomes that were sent once at least
}

// message is a report under way, with the outcomes that it had when it was sent, or a confirmation.
type message struct {
	session, number uint64
	outcomes        []uint64
	confirms        bool
}

func newWire(t *rapid.T) *wire {
	return &wire{
		t: t, now: breaker.Instant(rapid.Int64Range(-1e15, 1e15).Draw(t, "start")), out: Outbox{Session: 1}, waiting: map[uint64]breaker.Subject{},
		arrived: map[uint64]int{}, gone: map[uint64]int{}, back: map[uint64]bool{}, doubt: map[uint64]bool{}, sent: map[uint64]bool{},
	}
}

func (w *wire) subject() breaker.Subject {
	return rapid.SampledFrom([]breaker.Subject{payments, search, subject("stock")}).Draw(w.t, "breaker")
}

// report has outcomes of one breaker for the other replica.
func (w *wire) report(t *rapid.T) {
	of, n := w.subject(), rapid.IntRange(1, 3).Draw(t, "outcomes")
	i := w.out.Item(of, uint32(rapid.IntRange(0, 1).Draw(t, "hops")), w.now)
	for range n {
		w.last++
		i.Outcomes = append(i.Outcomes, breaker.Reported{Generation: w.last})
		w.waiting[w.last] = of
	}
	w.out.Added(n, rapid.Bool().Draw(t, "urgent"))
}

// pass lets time pass, and sends the reports that are due.
func (w *wire) pass(t *rapid.T) {
	w.now = w.now.Add(time.Duration(rapid.Int64Range(0, int64(again)).Draw(t, "time")))
	w.send()
}

func (w *wire) send() {
	at, ok := w.out.Due()
	reports := w.out.Take(w.now)
	if len(reports) > 0 && (!ok || at > w.now) {
		w.t.Fatalf("%d reports are sent that were not due", len(reports))
	}
	if at, ok := w.out.Due(); ok && at <= w.now {
		w.t.Fatalf("a report is due still")
	}
	for _, r := range reports {
		m := message{session: w.out.Session, number: r.Number}
		for _, i := range r.Items {
			for _, o := range i.Outcomes {
				m.outcomes = append(m.outcomes, o.Generation)
				w.sent[o.Generation] = true
			}
		}
		w.flying = append(w.flying, m)
	}
}

// confirm sends a confirmation, as each beat does.
func (w *wire) confirm(*rapid.T) {
	w.flying = append(w.flying, message{session: w.in.Session, number: w.in.Upto(), confirms: true})
}

// deliver delivers any message that is under way, which then may be under way still.
func (w *wire) deliver(t *rapid.T) {
	if len(w.flying) == 0 {
		return
	}
	n := rapid.IntRange(0, len(w.flying)-1).Draw(t, "message")
	m := w.flying[n]
	if !rapid.Bool().Draw(t, "again") {
		w.flying = slices.Delete(w.flying, n, n+1)
	}
	w.take(m)
}

func (w *wire) lose(t *rapid.T) {
	if len(w.flying) > 0 {
		n := rapid.IntRange(0, len(w.flying)-1).Draw(t, "message")
		w.flying = slices.Delete(w.flying, n, n+1)
	}
}

func (w *wire) take(m message) {
	switch {
	case m.confirms:
		w.out.Arrived(m.session, m.number)
	case w.in.Accept(m.session, m.number):
		for _, o := range m.outcomes {
			w.arrived[o]++
		}
	}
}

// recall takes back the outcomes that wait for a breaker. If the replica is given up, outcomes that were sent come back too, and may have arrived.
func (w *wire) recall(t *rapid.T) {
	of, gone := w.subject(), rapid.Bool().Draw(t, "gone")
	for _, i := range w.out.Recall(func(k breaker.Key) bool { return k == of.Key }, gone) {
		if i.Subject != of {
			t.Fatalf("an item of %v came back, which has not moved", i.Subject)
		}
		for _, o := range i.Outcomes {
			n := o.Generation
			if w.back[n] || w.waiting[n] != of || !gone && w.sent[n] {
				t.Fatalf("outcome %d came back; sent: %t, before: %t", n, w.sent[n], w.back[n])
			}
			w.back[n], w.doubt[n] = true, w.sent[n]
			delete(w.waiting, n)
		}
	}
	for n, s := range w.waiting { // the outcomes that stay have arrived, or may have
		if s == of && (!w.sent[n] || gone && w.arrived[n] == 0 && !w.doubt[n]) {
			t.Fatalf("outcome %d did not come back", n)
		}
	}
}

// renumber begins another session of the sender, which forgets all it has sent.
func (w *wire) renumber(*rapid.T) {
	w.forget()
	w.out = Outbox{Session: w.out.Session + 1}
}

// replace is a receiver that was started again. The sender gives it an outbox of its own, and no message for the one before reaches it.
func (w *wire) replace(*rapid.T) {
	w.forget()
	w.flying, w.in, w.out = nil, Inbox{}, Outbox{Session: 1}
	maps.Copy(w.gone, w.arrived)
	clear(w.arrived)
}

// forget notes that the outcomes so far need not arrive.
func (w *wire) forget() {
	for n := range w.waiting {
		w.doubt[n] = true
	}
	clear(w.waiting)
}

// check fails when an outcome has arrived more than once, or has arrived though it was taken back before it was sent.
func (w *wire) check(t *rapid.T) {
	for n, times := range w.arrived {
		if times > 1 || w.gone[n] > 0 || w.back[n] && !w.doubt[n] {
			t.Fatalf("outcome %d has arrived %d times, and %d times before; taken back: %t", n, times, w.gone[n], w.back[n])
		}
	}
	if w.out.Dropped > 0 {
		t.Fatalf("%d outcomes were dropped, though there was room", w.out.Dropped)
	}
}

// settle lets the network work, until all has arrived.
func (w *wire) settle() {
	for range 20 {
		w.now = w.now.Add(again)
		w.send()
		for _, m := range w.flying {
			w.take(m)
		}
		w.flying = nil
		w.take(message{session: w.in.Session, number: w.in.Upto(), confirms: true})
	}
	for n := range w.waiting {
		if w.arrived[n] != 1 {
			w.t.Fatalf("outcome %d has arrived %d times in the end", n, w.arrived[n])
		}
	}
	if at, ok := w.out.Due(); ok {
		w.t.Fatalf("a report is due at %v, though all have arrived", at)
	}
	if w.out.size != 0 || w.in.Session == w.out.Session && len(w.in.beyond) != 0 {
		w.t.Fatalf("%d outcomes are kept by the sender, and the numbers %v by the receiver", w.out.size, w.in.beyond)
	}
}

// run makes a history, and returns its world at the end.
func run(t *rapid.T) *wire {
	w := newWire(t)
	t.Repeat(map[string]func(*rapid.T){
		"report": w.report, "more": w.report, "pass": w.pass, "on": w.pass, "confirm": w.confirm, "deliver": w.deliver, "get": w.deliver,
		"lose": w.lose, "recall": w.recall, "renumber": w.renumber, "replace": w.replace, "": w.check,
	})
	w.settle()
	w.check(t)
	return w
}

// TestEachReportCountsOnce shows that each outcome is counted once by a receiver that stays, whatever the network does, and whichever side begins
// again.
func TestEachReportCountsOnce(t *testing.T) {
	arrived, back := 0, 0
	for round := range 5 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				w := run(t)
				arrived, back = arrived+len(w.arrived), back+len(w.back)
			})
		})
	}
	if arrived == 0 || back == 0 {
		t.Errorf("%d outcomes have arrived and %d came back, want many", arrived, back)
	}
}

// FuzzEachReportCountsOnce lets the fuzzer choose the history.
func FuzzEachReportCountsOnce(f *testing.F) { f.Fuzz(rapid.MakeFuzz(func(t *rapid.T) { run(t) })) }

// TestOutboxIsBounded shows that an outbox keeps no more than its bound, or one item, and that it counts exactly what it has dropped.
func TestOutboxIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var o Outbox
		var put, back uint64
		now := at(0)
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			of := subject(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "breaker"))
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0:
				now = now.Add(Pause)
				o.Take(now)
			case 1:
				for _, i := range o.Recall(func(k breaker.Key) bool { return k == of.Key }, rapid.Bool().Draw(t, "gone")) {
					back += uint64(i.outcomes())
				}
			default:
				n := rapid.IntRange(1, maxOutcomes*3/4).Draw(t, "outcomes")
				i := o.Item(of, 0, now)
				i.Outcomes = append(i.Outcomes, make([]breaker.Reported, n)...)
				o.Added(n, false)
				put += uint64(n)
				if o.size > maxOutcomes && len(o.waiting) > 1 {
					t.Fatalf("%d outcomes and items are kept, want %d at most", o.size, maxOutcomes)
				}
			}
			items, kept := 0, 0
			for _, r := range append(slices.Clone(o.sent), &Report{Items: o.waiting}) {
				items, kept = items+len(r.Items), kept+r.outcomes()
			}
			if o.size != items+kept || uint64(kept)+o.Dropped+back != put {
				t.Fatalf("%d of %d outcomes are kept in %d items, %d were dropped and %d came back; the size is %d", kept, put, items, o.Dropped, back, o.size)
			}
		}
	})
}
