package calls

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"breakwater.dev/breaker"
	"breakwater.dev/peers/internal/outbox"
)

var payments = breaker.Subject{Key: breaker.Key{Upstream: "payments"}, Owner: "shop"}

// at returns the instant that is d after the tests' beginning.
func at(d time.Duration) breaker.Instant { return breaker.Instant(time.Hour).Add(d) }

// owner is the breaker's owner, wherever it is.
type owner struct{ items []*outbox.Item }

func (o *owner) Report(i *outbox.Item, _ breaker.Instant) { o.items = append(o.items, i) }

// permit is a permit of this replica's engine, which notes what is done with it.
type permit struct {
	did     []string
	refused breaker.Decision
	held    bool
}

func (p *permit) Settle(breaker.Outcome, time.Duration, breaker.Instant) {
	p.did = append(p.did, "settle")
}
func (p *permit) Unsent(breaker.Outcome, time.Duration, breaker.Instant) {
	p.did = append(p.did, "unsent")
}
func (p *permit) Forget(breaker.Instant)   { p.did = append(p.did, "forget") }
func (p *permit) Answered(breaker.Instant) { p.did = append(p.did, "answered") }
func (p *permit) Probe() uint32            { return 7 }
func (p *permit) Held() bool               { return p.held }
func (p *permit) Refuse(breaker.Instant) breaker.Decision {
	p.did = append(p.did, "refuse")
	return p.refused
}

func reported(t *testing.T, o *owner, want ...*outbox.Item) {
	t.Helper()
	if diff := cmp.Diff(want, o.items); diff != "" {
		t.Errorf("the owner got (-want +got):\n%s", diff)
	}
}

// TestLeasesOfTheEngine shows that the engine settles a call as long as it has the breaker, once, and that nothing is reported.
func TestLeasesOfTheEngine(t *testing.T) {
	for name, end := range map[string]func(l *Lease){
		"settle": func(l *Lease) { l.Settle(breaker.Failure, time.Second, at(0)) },
		"unsent": func(l *Lease) { l.Unsent(breaker.Failure, time.Second, at(0)) },
		"refuse": func(l *Lease) { l.Refuse(at(0)) },
		"forget": func(l *Lease) { l.Forget(at(0)) },
	} {
		o, p := &owner{}, &permit{held: true}
		l := &Lease{Host: o, Subject: payments, Began: at(0), ID: 7, Permit: p, Stays: func() bool { return true }}
		if l.Probe() != 7 || !l.Held() {
			t.Errorf("%s: before its end it is the probe %d, held: %t", name, l.Probe(), l.Held())
		}
		p.held = false
		if l.Held() {
			t.Errorf("%s: it is held, and the engine says that it is not", name)
		}
		l.Answered(at(0))
		for range 2 {
			end(l)
		}
		l.Settle(breaker.Success, 0, at(1))
		l.Unsent(breaker.Success, 0, at(1))
		if want := []string{"answered", name}; !slices.Equal(p.did, want) {
			t.Errorf("%s: the engine's permit got %v, want %v", name, p.did, want)
		}
		if l.Probe() != 0 {
			t.Errorf("%s: it is the probe %d when it is over", name, l.Probe())
		}
		reported(t, o)
	}
}

// TestLeasesOfBreakersThatMove shows that a call whose breaker has moved is reported to its owner, once, and that the engine forgets it.
func TestLeasesOfBreakersThatMove(t *testing.T) {
	outcome := func(unsent bool) *outbox.Item {
		return &outbox.Item{Subject: payments, Outcomes: []breaker.Reported{{
			Outcome: breaker.Timeout, At: at(5 * time.Second), Lasted: 5 * time.Second, Duration: time.Second, Unsent: unsent,
		}}}
	}
	probe := func(s outbox.Settled) *outbox.Item {
		s.Probe = 7
		return &outbox.Item{Subject: payments, Settled: []outbox.Settled{s}}
	}
	settle := func(l *Lease) { l.Settle(breaker.Timeout, time.Second, at(5*time.Second)) }
	unsent := func(l *Lease) { l.Unsent(breaker.Timeout, time.Second, at(5*time.Second)) }
	for _, tt := range []struct {
		name string
		id   uint32
		end  func(l *Lease)
		want *outbox.Item
	}{
		{"a call that ends", 0, settle, outcome(false)},
		{"a call that was not sent", 0, unsent, outcome(true)},
		{"a probe that ends", 7, settle, probe(outbox.Settled{Outcome: breaker.Timeout, Took: time.Second})},
		{"a probe that was not sent", 7, unsent, probe(outbox.Settled{Outcome: breaker.Timeout, Took: time.Second, Unsent: true})},
		{"a probe that is not made", 7, func(l *Lease) {
			waits := l.Probe() != 0
			if d := l.Refuse(at(5 * time.Second)); waits && d != (breaker.Decision{State: breaker.HalfOpen}) {
				t.Errorf("the decision is %+v", d)
			}
		}, probe(outbox.Settled{Outcome: breaker.Ignored})},
	} {
		stays := true
		o, p := &owner{}, &permit{}
		l := &Lease{Host: o, Subject: payments, Began: at(0), ID: tt.id, Permit: p, Stays: func() bool { return stays }}
		stays = false
		if l.Held() != (tt.id != 0) {
			t.Errorf("%s: held: %t", tt.name, l.Held())
		}
		l.Answered(at(0))
		tt.end(l)
		stays = true // it is back, and knows nothing of the call any longer
		tt.end(l)
		settle(l)
		unsent(l)
		l.Forget(at(6 * time.Second))
		if d := l.Refuse(at(6 * time.Second)); !d.Admitted {
			t.Errorf("%s: when it is over, a refusal is answered with %+v", tt.name, d)
		}
		stays = false
		if l.Held() || l.Probe() != 0 || !slices.Equal(p.did, []string{"forget"}) {
			t.Errorf("%s: held: %t, probe %d; the engine's permit got %v", tt.name, l.Held(), l.Probe(), p.did)
		}
		reported(t, o, tt.want)
	}
}

// TestRefusedCallsThatGoOn shows that a probe whose engine admits it though it is refused goes on as a call, and is settled once.
func TestRefusedCallsThatGoOn(t *testing.T) {
	p := &permit{refused: breaker.Decision{Admitted: true}}
	l := &Lease{Host: &owner{}, ID: 7, Permit: p, Stays: func() bool { return true }}
	for range 2 {
		if d := l.Refuse(at(0)); !d.Admitted || l.Probe() != 0 {
			t.Errorf("the decision is %+v, and it is the probe %d", d, l.Probe())
		}
	}
	l.Settle(breaker.Success, 0, at(0))
	l.Settle(breaker.Success, 0, at(0))
	if want := []string{"refuse", "settle"}; !slices.Equal(p.did, want) {
		t.Errorf("the engine's permit got %v, want %v", p.did, want)
	}
	call := &Lease{Host: &owner{}}
	if d := call.Refuse(at(0)); !d.Admitted {
		t.Errorf("a call that is no probe is refused: %+v", d)
	}
}

// running returns a call that is listed.
func running(q *Running, o *owner, began, threshold time.Duration) *Lease {
	l := &Lease{Host: o, Subject: payments, Began: at(began), Generation: 3}
	q.Add(l, threshold)
	return l
}

// TestSlowCalls shows that a call is reported as slow when it has lasted for its threshold, once, and that its end says so.
func TestSlowCalls(t *testing.T) {
	var q Running
	o := &owner{}
	first, second := running(&q, o, 0, time.Second), running(&q, o, 1, time.Second)
	ended, answered := running(&q, o, 2, time.Second), running(&q, o, 3, time.Second)
	running(&q, o, 0, 2*time.Second)
	ended.Settle(breaker.Success, 0, at(3))
	answered.Answered(at(3))
	if got := q.Slow(at(time.Second - 1)); len(got) != 0 {
		t.Errorf("%d calls are slow too early", len(got))
	}
	slow := func(lasted time.Duration, at breaker.Instant) []*outbox.Item {
		return []*outbox.Item{{Subject: payments, Outcomes: []breaker.Reported{{Running: true, At: at, Lasted: lasted, Duration: lasted, Generation: 3}}}}
	}
	if diff := cmp.Diff(slow(time.Second, at(time.Second)), q.Slow(at(time.Second))); diff != "" {
		t.Errorf("the first call (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(slow(time.Second+4, at(time.Second+5)), q.Slow(at(time.Second+5))); diff != "" {
		t.Errorf("the second call (-want +got):\n%s", diff)
	}
	if got := q.Slow(at(2*time.Second - 1)); len(got) != 0 {
		t.Errorf("%d calls are slow twice, or though they have ended", len(got))
	}
	if got := q.Slow(at(time.Hour)); len(got) != 1 || len(q.byThreshold) != 0 {
		t.Errorf("%d calls of the other threshold are slow, want one; the list has %v", len(got), q.byThreshold)
	}
	o.items = nil
	first.Settle(breaker.Success, 0, at(2*time.Second))
	second.Unsent(breaker.Failure, 0, at(2*time.Second))
	answered.Settle(breaker.Success, 0, at(2*time.Second))
	for n, want := range []bool{true, true, false} {
		if got := o.items[n].Outcomes[0]; got.Early != want || got.Generation != 3 {
			t.Errorf("outcome %d is %+v, want early: %t", n, got, want)
		}
	}
	var none *Running
	if none.remove(first) {
		t.Error("a list that there is not has a call")
	}
}

// TestEndedCallsAreNotKept shows that calls that have ended leave the list with the next look, though they would become slow only later.
func TestEndedCallsAreNotKept(t *testing.T) {
	var q Running
	for i := range 10 {
		running(&q, &owner{}, time.Duration(i), time.Hour).Settle(breaker.Success, 0, at(10))
	}
	if got := q.Slow(at(11)); len(got) != 0 || len(q.byThreshold) != 0 {
		t.Errorf("%d calls are slow, and the list has %v", len(got), q.byThreshold)
	}
}

// TestCallsSettleOnce shows that the owner gets each call once, whatever is done with its lease, and that it gets it as early if and only if it was
// reported as slow before.
func TestCallsSettleOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q Running
		now, stays, done := at(0), false, false
		o, p := &owner{}, &permit{refused: breaker.Decision{Admitted: rapid.Bool().Draw(t, "admits")}}
		l := &Lease{Host: o, Subject: payments, Began: now, ID: rapid.Uint32Range(0, 1).Draw(t, "probe")}
		if rapid.Bool().Draw(t, "here") {
			l.Permit, l.Stays = p, func() bool { return stays }
		} else if l.ID == 0 {
			q.Add(l, time.Second)
		}
		early := false
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "time")))
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0:
				l.Settle(breaker.Success, 0, now)
				done = true
			case 1:
				l.Unsent(breaker.Success, 0, now)
				done = true
			case 2:
				if !l.Refuse(now).Admitted {
					done = true
				}
			case 3:
				l.Answered(now)
			case 4:
				stays = !stays
			default:
				if n := len(q.Slow(now)); n > 0 {
					if early || done || n > 1 {
						t.Fatalf("%d calls are slow; before: %t, done: %t", n, early, done)
					}
					early = true
				}
			}
		}
		ends := len(o.items)
		for _, did := range p.did {
			if did == "settle" || did == "unsent" || did == "refuse" && !p.refused.Admitted {
				ends++
			}
		}
		if want := map[bool]int{true: 1}[done]; ends != want {
			t.Fatalf("the call was settled %d times, want %d; the engine got %v and the owner %v", ends, want, p.did, o.items)
		}
		for _, i := range o.items {
			if len(i.Outcomes)+len(i.Settled) != 1 || len(i.Outcomes) == 1 && i.Outcomes[0].Early != early {
				t.Fatalf("the owner got %+v, and the call was slow: %t", i, early)
			}
		}
	})
}
