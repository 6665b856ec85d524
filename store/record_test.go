package store

import (
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"breakwater.dev/breaker"
)

// encoded is a file with saved, written at date.
func encoded(t interface {
	Helper()
	Fatal(...any)
}, saved ...breaker.Saved) []byte {
	t.Helper()
	list, err := encode(saved, date)
	if err != nil {
		t.Fatal(err)
	}
	data, err := seal(list, date.wall)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestRoundTrip: what is read at once is what was written, whatever it was.
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

// TestRoundTripAcrossProcesses: the clock of instants is another one, time has
// passed, and all times have moved by the same.
func TestRoundTripAcrossProcesses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anySaved(t)
		next := anchor{
			instant: breaker.Instant(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "instant")),
			wall:    date.wall.Add(time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "away"))),
		}
		moved := next.instant.Sub(date.instant) - next.wall.Sub(date.wall)
		move := func(i breaker.Instant) breaker.Instant {
			if i == 0 {
				return i
			}
			if i = i.Add(moved); i == 0 {
				return -1 // 0 would say that there is no end
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

// TestNoFieldIsForgotten: every field there is, set to something, comes back. It
// fails when one is added to the breaker's types and not to the records.
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

// fill sets v and everything in it to values that are not zero and, where the
// type has room, differ from each other. What is called Until ends after date, the
// rest began before.
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
				continue // only transitions that are told of have it
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
			t.Fatalf("%s is a %s, which this test knows no value of", name, v.Type())
		}
	}
}

// TestEveryNameIsRead: of states, reasons and modes, and of no others.
func TestEveryNameIsRead(t *testing.T) {
	for _, edge := range breaker.Edges() {
		want := breaker.Saved{Trip: &breaker.Transition{Edge: edge}, Since: date.instant}
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
			t.Errorf("a %s that has no name is written as %s", name, list)
		}
	}
}

// TestTimesAreBounded: the wall clock was set while nobody was there, or before.
// The example was open for 10 s of 30 s when it was written.
func TestTimesAreBounded(t *testing.T) {
	for _, tt := range []struct {
		name         string
		away         time.Duration // as the wall clock has it
		since, until time.Duration // of open, from now
		trip         time.Duration
	}{
		{"at once", 0, -10 * time.Second, 20 * time.Second, -10 * time.Second},
		{"after 5 s", 5 * time.Second, -15 * time.Second, 15 * time.Second, -15 * time.Second},
		{"when the wait is over", time.Minute, -70 * time.Second, -40 * time.Second, -70 * time.Second},
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
			from := func(i breaker.Instant) time.Duration { return i.Sub(now.instant) }
			s := got[0]
			if from(s.Since) != tt.since || from(s.Until) != tt.until || from(s.Trip.At) != tt.trip {
				t.Errorf("since %s, until %s, trip at %s; want %s, %s, %s", from(s.Since), from(s.Until), from(s.Trip.At), tt.since, tt.until, tt.trip)
			}
		})
	}
}

// TestWaitIsNotExtended: a record that claims to begin later than it was written
// waits as long as it chose to, and no longer.
func TestWaitIsNotExtended(t *testing.T) {
	s := breaker.Saved{State: breaker.Open, Since: at(time.Hour), Until: at(time.Hour + 30*time.Second)}
	s.Trip = &breaker.Transition{At: at(time.Hour), Since: at(time.Minute)}
	got, err := decode(encoded(t, s), date)
	if err != nil {
		t.Fatal(err)
	}
	s.Since, s.Until, s.Trip.At, s.Trip.Since = at(0), at(30*time.Second), at(0), at(0)
	same(t, got, []breaker.Saved{s})

	s = breaker.Saved{State: breaker.Open, Since: at(time.Hour), Until: at(time.Minute)} // it makes no sense, and so does not wait
	if got, err = decode(encoded(t, s), date); err != nil || got[0].Until != at(0) {
		t.Errorf("until %v, error %v; want no wait", got, err)
	}
}

// TestOverridesEnd when they were to, and not later for a wall clock that was set.
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
			if ends := got[2].Override.Until.Sub(now.instant); ends != tt.ends {
				t.Errorf("it ends in %s, want %s", ends, tt.ends)
			}
		})
	}
	// An end that falls on the first instant of a process is an end all the same.
	got, err := decode(encoded(t, examples()...), anchor{0, date.wall.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if until := got[2].Override.Until; until >= 0 {
		t.Errorf("it ends at %d, want before the process began", until)
	}
}
