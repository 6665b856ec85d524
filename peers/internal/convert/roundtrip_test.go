package convert

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"breakwater.dev/breaker"
	"breakwater.dev/peers/internal/outbox"
	"breakwater.dev/peers/internal/peerspb"
)

// clocks are the times of two replicas at one moment.
type clocks struct{ sender, receiver breaker.Instant }

func drawClocks(t *rapid.T) clocks {
	now := func(name string) breaker.Instant { return breaker.Instant(rapid.Int64Range(0, decades).Draw(t, name)) }
	return clocks{now("sender"), now("receiver")}
}

// carried returns a message as it arrives.
func carried[M any, P interface {
	*M
	proto.Message
}](t *rapid.T, m P) P {
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var got M
	if err := proto.Unmarshal(data, P(&got)); err != nil {
		t.Fatal(err)
	}
	return &got
}

func same(t *rapid.T, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// drawState draws a state as an owner can have it.
func drawState(t *rapid.T, now breaker.Instant) *State {
	s := draw[State](t, now)
	s.Saved.Config = breaker.Config{}      // messages have its checksum
	s.Rank.Generation = s.Saved.Generation // both are the breaker's
	s.Rank.State = s.Saved.State           // the same
	if o := s.Saved.Override; o != nil {
		o.State = rapid.SampledFrom([]breaker.State{breaker.Closed, breaker.Open}).Draw(t, "forced")
		s.Saved.State, s.Rank.State = o.State, o.State
	}
	for _, x := range []*breaker.Transition{s.Saved.Cause, s.Saved.Trip, s.Transition} {
		if x != nil {
			x.Key = s.Saved.Key
			if x.Cause != nil {
				x.Cause.Key = s.Saved.Key
			}
		}
	}
	return &s
}

// TestStates shows that a state is the same for a replica with another clock: every instant is as far away as it was.
func TestStates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawClocks(t)
		s := drawState(t, c.sender)
		got, ok := StateIn(carried(t, StateOut(s, c.sender)), c.receiver)
		if !ok {
			t.Fatal("it makes no sense")
		}
		shift(s, c.receiver-c.sender)
		same(t, s, got)
	})
}

// TestMemories shows the same of the memory that a handover has beside the state.
func TestMemories(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawClocks(t)
		h := draw[breaker.Handover](t, c.sender)
		if h.Recent != nil {
			for i := range h.Recent.Successes {
				h.Recent.Successes[i].Before.Broken = 0 // it follows from the success before
			}
		}
		got := MemoryIn(carried(t, MemoryOut(&h, c.sender)), c.receiver)
		shift(&h, c.receiver-c.sender)
		h.Saved, h.LastFailure = breaker.Saved{}, 0 // these are in the state
		h.ProbesFrom = 0                            // the fence of a new owner takes its place
		if h.RampUntil == 0 {
			h.RampCredit = 0 // it has no meaning
		}
		same(t, h, got)
	})
}

// TestReports shows the same of reports.
func TestReports(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawClocks(t)
		i := draw[outbox.Item](t, c.sender)
		number, session := rapid.Uint64().Draw(t, "number"), rapid.Uint64().Draw(t, "session")
		m := carried(t, Report(&outbox.Report{Number: number, Items: []*outbox.Item{&i}}, session, c.sender))
		if m.GetNumber() != number || m.GetSession() != session || len(m.GetItems()) != 1 {
			t.Errorf("got number %d of session %d with %d items", m.GetNumber(), m.GetSession(), len(m.GetItems()))
		}
		got, ok := ItemOf(m.GetItems()[0], c.receiver)
		if !ok {
			t.Fatal("it makes no sense")
		}
		shift(&i, c.receiver-c.sender)
		for n := range i.Outcomes {
			o := &i.Outcomes[n]
			if !o.Corrects {
				o.Was, o.Settled = 0, 0 // they have no meaning
			}
		}
		if i.Outcomes == nil {
			i.Outcomes = []breaker.Reported{}
		}
		same(t, &i, got)
	})
}

// TestKeys shows that keys are read as they were written.
func TestKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := draw[breaker.Key](t, 0)
		same(t, k, KeyOf(carried(t, Key(k))))
	})
}

// TestTimeUnderWay shows which instants follow from a message that was under way for a while: an event stays as old as the message says, and an
// end as far away. Nothing is in the future that cannot be.
func TestTimeUnderWay(t *testing.T) {
	const now = at(time.Hour)
	ago := func(d time.Duration) breaker.Instant { return breaker.Instant(now).Add(-d) }
	for _, tt := range []struct {
		name      string
		got, want breaker.Instant
	}{
		{"an event", now.past(int64(time.Minute)), ago(time.Minute)},
		{"an event in the future", now.past(-1), ago(0)},
		{"an event at the beginning of the clock", now.past(int64(time.Hour)), -1},
		{"an event long ago", now.past(math.MaxInt64), ago(time.Duration(century))},
		{"an event that is not known", now.pastIfKnown(now.ageIfKnown(0)), 0},
		{"an event that is just a little later than the message", now.pastIfKnown(now.ageIfKnown(ago(-1))), ago(0)},
		{"an end", now.end(int64(time.Minute)), ago(-time.Minute)},
		{"an end that is over", now.end(-int64(time.Minute)), ago(time.Minute)},
		{"an end at the beginning of the clock", now.end(-int64(time.Hour)), -1},
		{"an end that never comes", now.end(math.MaxInt64), ago(-time.Duration(century))},
		{"an end that is long over", now.end(math.MinInt64), ago(time.Duration(century))},
		{"a duration", breaker.Instant(duration(5)), 5},
		{"a duration below 0", breaker.Instant(duration(-5)), 0},
		{"a duration without end", breaker.Instant(duration(math.MaxInt64)), breaker.Instant(century)},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, tt.got, tt.want)
		}
	}
}

// TestMessagesThatMakeNoSense shows which states and reports are refused as a whole.
func TestMessagesThatMakeNoSense(t *testing.T) {
	open := func(edit func(*peerspb.State)) *peerspb.State {
		m := &peerspb.State{State: int32(breaker.Open), Override: &peerspb.Override{State: int32(breaker.Open)}, Trip: &peerspb.Transition{Cause: &peerspb.Transition{}}}
		edit(m)
		return m
	}
	for name, edit := range map[string]func(*peerspb.State){
		"a state below":     func(m *peerspb.State) { m.State, m.Override = -1, nil },
		"a state above":     func(m *peerspb.State) { m.State, m.Override = 3, nil },
		"forced elsewhere":  func(m *peerspb.State) { m.Override.State = int32(breaker.Closed) },
		"forced half-open":  func(m *peerspb.State) { m.State, m.Override.State = int32(breaker.HalfOpen), int32(breaker.HalfOpen) },
		"from below":        func(m *peerspb.State) { m.Trip.From = -1 },
		"to above":          func(m *peerspb.State) { m.Trip.To = 3 },
		"a reason below":    func(m *peerspb.State) { m.Trip.Reason = -1 },
		"a reason above":    func(m *peerspb.State) { m.Trip.Reason = int32(breaker.Restored) + 1 },
		"a mode below":      func(m *peerspb.State) { m.Trip.Mode = -1 },
		"a mode above":      func(m *peerspb.State) { m.Trip.Mode = int32(breaker.Disabled) + 1 },
		"a bad cause":       func(m *peerspb.State) { m.Trip.Cause.From = 3 },
		"a cause's cause":   func(m *peerspb.State) { m.Trip.Cause.Cause = &peerspb.Transition{} },
		"the episode's":     func(m *peerspb.State) { m.Cause = &peerspb.Transition{To: 3} },
		"the present one's": func(m *peerspb.State) { m.Transition = &peerspb.Transition{To: 3} },
	} {
		if s, ok := StateIn(open(edit), 1); ok {
			t.Errorf("%s: it was read as %+v", name, s)
		}
	}
	if _, ok := StateIn(open(func(*peerspb.State) {}), 1); !ok {
		t.Error("a state that makes sense is refused")
	}
	for _, o := range []int32{-1, int32(breaker.Abandoned) + 1} {
		for name, m := range map[string]*peerspb.Item{
			"an outcome": {Outcomes: []*peerspb.Outcome{{}, {Outcome: o}}},
			"corrected":  {Outcomes: []*peerspb.Outcome{{Was: o}}},
			"a probe's":  {Settled: []*peerspb.Settled{{}, {Outcome: o}}},
		} {
			if i, ok := ItemOf(m, 1); ok {
				t.Errorf("%s %d: it was read as %+v", name, o, i)
			}
		}
	}
}

// TestRanks shows which of two states is in force: hands come before epochs, and these before generations and states.
func TestRanks(t *testing.T) {
	rising := []Rank{
		{}, {State: breaker.Open}, {Generation: 1}, {Generation: 1, State: breaker.HalfOpen}, {Epoch: 1}, {Epoch: 1, Generation: 9},
		{HandGeneration: 1}, {HandGeneration: 1, Epoch: 5}, {HandEpoch: 1}, {HandEpoch: 1, Epoch: 7, Generation: 7, State: breaker.Open}, {HandEpoch: 2},
	}
	for i, x := range rising {
		for j, y := range rising {
			if got := x.Compare(y); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("%+v compared with %+v: got %d", x, y, got)
			}
		}
	}
}
