package store

import (
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"breakwater.dev/breaker"
	"breakwater.dev/store/internal/record"
)

// encoded returns the content of a file with states that was written at date.
func encoded(t interface {
	Helper()
	Fatal(...any)
}, saved ...breaker.Saved) []byte {
	t.Helper()
	list, err := encode(saved, date)
	if err != nil {
		t.Fatal(err)
	}
	data, err := seal(list, date.Wall)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestRoundTrip shows that any state that is written is read again without a change.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anySaved(t)
		got, err := decode(encoded(t, want), date)
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, []breaker.Saved{want})
	})
}

// TestRoundTripAcrossProcesses shows that a later process, whose engine has another clock, reads the same state with all times
// moved by the same duration.
func TestRoundTripAcrossProcesses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anySaved(t)
		next := record.Anchor{
			Instant: breaker.Instant(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "instant")),
			Wall:    date.Wall.Add(time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "away"))),
		}
		moved := next.Instant.Sub(date.Instant) - next.Wall.Sub(date.Wall)
		move := func(i breaker.Instant) breaker.Instant {
			if i == 0 {
				return i
			}
			if i = i.Add(moved); i == 0 {
				return -1 // 0 would mean that there is no end
			}
			return i
		}
		got, err := decode(encoded(t, want), next)
		if err != nil {
			t.Fatal(err)
		}
		want.Since, want.Until = want.Since.Add(moved), move(want.Until)
		if o := want.Override; o != nil {
			o.Until = move(o.Until)
		}
		for _, tr := range []*breaker.Transition{want.Cause, want.Trip} {
			if tr == nil {
				continue
			}
			tr.At, tr.Since, tr.Until = tr.At.Add(moved), tr.Since.Add(moved), move(tr.Until)
		}
		same(t, got, []breaker.Saved{want})
	})
}

// TestNoFieldIsForgotten shows that every field of a state is written and read. It fails if a field is added to the breaker's
// types and not to the records.
func TestNoFieldIsForgotten(t *testing.T) {
	var want breaker.Saved
	fields := 0
	fill(t, reflect.ValueOf(&want).Elem(), "Saved", &fields)
	if fields < 40 {
		t.Fatalf("only %d fields were set", fields)
	}
	got, err := decode(encoded(t, want), date)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, []breaker.Saved{want})
}

// fill sets v and everything in it to values that are not zero and, if the type has enough values, differ from each other.
// Instants whose name ends in Until are after date, and all other instants are before it.
func fill(t *testing.T, v reflect.Value, name string, n *int) {
	t.Helper()
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), name, n)
		return
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type() == reflect.TypeFor[breaker.Transition]() && v.Type().Field(i).Name == "Cause" {
				continue // only the transitions that observers get have it
			}
			fill(t, v.Field(i), name+"."+v.Type().Field(i).Name, n)
		}
		return
	}
	*n++
	switch i := int64(*n); v.Interface().(type) {
	case breaker.Instant:
		d := -time.Duration(i) * time.Second
		if name[len(name)-len("Until"):] == "Until" {
			d = -d
		}
		v.SetInt(int64(at(d)))
	case breaker.State, breaker.Reason, breaker.Mode:
		v.SetUint(1 + uint64(i)%2)
	default:
		switch {
		case v.CanInt():
			v.SetInt(i)
		case v.CanUint():
			v.SetUint(uint64(i))
		case v.Kind() == reflect.String:
			v.SetString(name)
		default:
			t.Fatalf("%s has the type %s, for which this test has no value", name, v.Type())
		}
	}
}

// TestEveryNameIsRead shows that every state, reason and mode can be read, and that a value without a name is not written.
func TestEveryNameIsRead(t *testing.T) {
	for _, edge := range breaker.Edges() {
		want := breaker.Saved{Trip: &breaker.Transition{Edge: edge}, Since: date.Instant}
		got, err := decode(encoded(t, want), date)
		if err != nil {
			t.Fatalf("%+v: %v", edge, err)
		}
		if got[0].Trip.Edge != edge {
			t.Errorf("edge %+v, want %+v", got[0].Trip.Edge, edge)
		}
	}
	for name, s := range map[string]breaker.Saved{
		"state":  {State: breaker.Open + 1},
		"mode":   {Config: breaker.Config{Mode: breaker.Disabled + 1}},
		"reason": {Trip: &breaker.Transition{Edge: breaker.Edge{Reason: breaker.Restored + 1}}},
	} {
		if list, err := encode([]breaker.Saved{s}, date); err == nil {
			t.Errorf("a %s without a name is written as %s", name, list)
		}
	}
}

// TestTimesAreBounded shows the times of an open breaker after the wall clock was set while no control plane ran. The breaker
// had been open for 10 s of 30 s when it was saved.
func TestTimesAreBounded(t *testing.T) {
	for _, tt := range []struct {
		name         string
		away         time.Duration // the time without a control plane, by the wall clock
		since, until time.Duration // the beginning and the end of the open state, from now
		trip         time.Duration
	}{
		{"at once", 0, -10 * time.Second, 20 * time.Second, -10 * time.Second},
		{"after 5 s", 5 * time.Second, -15 * time.Second, 15 * time.Second, -15 * time.Second},
		{"after the end of the wait", time.Minute, -70 * time.Second, -40 * time.Second, -70 * time.Second},
		{"set back by 5 s", -5 * time.Second, -10 * time.Second, 20 * time.Second, -10 * time.Second},
		{"set back by a year", -365 * 24 * time.Hour, -10 * time.Second, 20 * time.Second, -10 * time.Second},
		{"set forward by 200 years", 200 * 365 * 24 * time.Hour, -century, -century, -century},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := later(tt.away)
			got, err := decode(encoded(t, examples()...), now)
			if err != nil {
				t.Fatal(err)
			}
			from := func(i breaker.Instant) time.Duration { return i.Sub(now.Instant) }
			s := got[0]
			if from(s.Since) != tt.since || from(s.Until) != tt.until || from(s.Trip.At) != tt.trip {
				t.Errorf("since %s, until %s, trip at %s; want %s, %s, %s", from(s.Since), from(s.Until), from(s.Trip.At), tt.since, tt.until, tt.trip)
			}
		})
	}
}

// TestWaitIsNotExtended shows that a wait that begins after the time of writing lasts only for its own duration from now.
func TestWaitIsNotExtended(t *testing.T) {
	s := breaker.Saved{State: breaker.Open, Since: at(time.Hour), Until: at(time.Hour + 30*time.Second)}
	s.Trip = &breaker.Transition{At: at(time.Hour), Since: at(time.Minute)}
	got, err := decode(encoded(t, s), date)
	if err != nil {
		t.Fatal(err)
	}
	s.Since, s.Until, s.Trip.At, s.Trip.Since = at(0), at(30*time.Second), at(0), at(0)
	same(t, got, []breaker.Saved{s})

	s = breaker.Saved{State: breaker.Open, Since: at(time.Hour), Until: at(time.Minute)} // the wait would end before it begins, so there is none
	if got, err = decode(encoded(t, s), date); err != nil || got[0].Until != at(0) {
		t.Errorf("until %v, error %v; want no wait", got, err)
	}
}

// TestOverridesEnd shows that overrides end at their time, and not later because the wall clock was set.
func TestOverridesEnd(t *testing.T) {
	for _, tt := range []struct {
		name string
		away time.Duration
		ends time.Duration // from now
	}{
		{"later", 20 * time.Minute, 40 * time.Minute},
		{"now", time.Hour, 0},
		{"before", 3 * time.Hour, -2 * time.Hour},
		{"not later for a clock that was set back", -2 * time.Hour, time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := later(tt.away)
			got, err := decode(encoded(t, examples()...), now)
			if err != nil {
				t.Fatal(err)
			}
			if ends := got[2].Override.Until.Sub(now.Instant); ends != tt.ends {
				t.Errorf("the override ends in %s, want %s", ends, tt.ends)
			}
		})
	}
	// An end at the first instant of a process, which is 0, is not taken for no end.
	got, err := decode(encoded(t, examples()...), record.Anchor{Instant: 0, Wall: date.Wall.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if until := got[2].Override.Until; until >= 0 {
		t.Errorf("the override ends at %d, want an instant before the process began", until)
	}
}
