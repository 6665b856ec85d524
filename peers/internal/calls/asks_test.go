package calls

import (
	"testing"
	"time"

	"breakwater.dev/breaker"
)

// TestAnswers shows what becomes of an answer: the caller gets it if it comes in time, and a permit that comes too late is given back. Each answer
// counts once.
func TestAnswers(t *testing.T) {
	yes := Answer{Decision: breaker.Decision{Admitted: true}, Probe: 7, Generation: 3}
	plain := Answer{Decision: breaker.Decision{Admitted: true}, Generation: 3}
	for _, tt := range []struct {
		name    string
		after   time.Duration
		abandon bool
		answer  Answer
		want    Answer // that the caller gets
		late    bool
	}{
		{"in time", Timeout - 1, false, yes, yes, false},
		{"too late", Timeout, false, yes, Refused, true},
		{"too late, and without a permit", Timeout, false, plain, Refused, false},
		{"when the caller waits no longer", 0, true, yes, Refused, true},
		{"when the caller waits no longer, and without a permit", 0, true, plain, Refused, false},
	} {
		var a Asks
		var got []Answer
		a.Add(1, payments, at(0), func(answer Answer) { got = append(got, answer) })
		a.Add(2, payments, at(0), nil)
		if tt.abandon && !a.Abandon(1) {
			t.Errorf("%s: the answer was given already", tt.name)
		}
		s, done, counts, late := a.Take(1, tt.answer, at(tt.after))
		if s != payments || counts != tt.want || late != tt.late || (done == nil) != tt.abandon {
			t.Errorf("%s: got %+v for %v, late: %t, and a caller: %t", tt.name, counts, s, late, done != nil)
		}
		if done != nil {
			done(counts)
		}
		if a.Abandon(1) {
			t.Errorf("%s: the caller stops to wait for an answer that was given", tt.name)
		}
		s, done, _, late = a.Take(1, tt.answer, at(tt.after))
		if s != (breaker.Subject{}) || done != nil || late {
			t.Errorf("%s: the answer counts twice, for %v", tt.name, s)
		}
		if wants := map[bool]int{false: 1}[tt.abandon]; len(got) != wants {
			t.Errorf("%s: the caller got %d answers, want %d", tt.name, len(got), wants)
		}
	}
}

// TestForget shows for how long calls are remembered whose answer does not come, so that a late permit is given back.
func TestForget(t *testing.T) {
	var a Asks
	a.Forget(at(0))
	if a.Abandon(1) {
		t.Error("a call that was never made waits")
	}
	a.Add(1, payments, at(0), func(Answer) {})
	a.Add(2, payments, at(1), func(Answer) {})
	a.Add(3, payments, at(1), func(Answer) {})
	a.Forget(at(forgotten - 1))
	if _, _, _, late := a.Take(3, Answer{Probe: 1}, at(forgotten)); !late {
		t.Error("a permit that comes late is not given back")
	}
	a.Forget(at(forgotten))
	if a.Abandon(1) || !a.Abandon(2) {
		t.Error("a call is forgotten too early, or not at all")
	}
}
