package shared

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"breakwater.dev/breaker"
	"breakwater.dev/store/internal/record"
	"breakwater.dev/store/internal/recordtest"
)

// encoded returns the value of a state that is written at an anchor, and its life.
func encoded(t interface {
	Helper()
	Fatal(...any)
}, s Stored, at record.Anchor) (value string, life int64) {
	t.Helper()
	v, err := encodeState(&s, at)
	if err != nil {
		t.Fatal(err)
	}
	return v.fence + " " + string(v.text), v.life.Milliseconds()
}

// TestStateRoundTrip shows that any state that is written is read again without a change.
func TestStateRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Stored{Epoch: rapid.Uint64().Draw(t, "epoch"), Owner: rapid.String().Draw(t, "owner"), Saved: recordtest.Any(t)}
		value, life := encoded(t, want, recordtest.Date)
		got, err := decodeState(value, life, recordtest.Date.Instant)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// TestStateAges shows the times that a reader takes from a state, as offsets from its now. They follow from the time that has passed by the
// store, whatever the clocks of the two hosts are.
func TestStateAges(t *testing.T) {
	saved := recordtest.Examples()[0] // opened 10 s before, and open for another 20 s
	for _, skew := range []time.Duration{0, 24 * time.Hour, -24 * time.Hour, 200 * 365 * 24 * time.Hour} {
		value, life := encoded(t, Stored{Saved: saved}, record.Anchor{Instant: recordtest.Date.Instant, Wall: recordtest.Date.Wall.Add(skew)})
		if want := 20*time.Second + grace; life != want.Milliseconds() {
			t.Errorf("it lives for %d ms, want %s", life, want)
		}
		for _, age := range []time.Duration{0, 5 * time.Second, time.Hour} {
			now := breaker.Instant(7 * time.Minute)
			got, err := decodeState(value, life-age.Milliseconds(), now)
			if err != nil {
				t.Fatal(err)
			}
			since, until := got.Saved.Since.Sub(now), got.Saved.Until.Sub(now)
			if since != -10*time.Second-age || until != 20*time.Second-age {
				t.Errorf("skew %s, age %s: since %s, until %s", skew, age, since, until)
			}
		}
		if got, err := decodeState(value, life+1000, 0); err != nil || got.Saved.Since != breaker.Instant(-10*time.Second) {
			t.Errorf("a key that lives longer than it should: %+v, error %v; want the age 0", got, err)
		}
	}
}

// TestLife shows how long the store keeps a state.
func TestLife(t *testing.T) {
	at := recordtest.At
	for _, tt := range []struct {
		saved breaker.Saved
		want  time.Duration
	}{
		{breaker.Saved{State: breaker.Open, Until: at(30 * time.Second)}, 30*time.Second + 24*time.Hour},
		{breaker.Saved{State: breaker.Open, Until: at(-time.Minute)}, 24 * time.Hour},
		{breaker.Saved{State: breaker.Open}, 7 * 24 * time.Hour},
		{breaker.Saved{State: breaker.Closed, Openings: 3}, 7 * 24 * time.Hour},
		{breaker.Saved{State: breaker.Open, Until: at(time.Second), Override: &breaker.Override{}}, 7 * 24 * time.Hour},
		{breaker.Saved{State: breaker.Closed, Override: &breaker.Override{Until: at(time.Hour)}}, 25 * time.Hour},
		{breaker.Saved{State: breaker.Open, Until: math.MaxInt64}, maxLife + 24*time.Hour},
	} {
		if got := life(&tt.saved, recordtest.Date.Instant); got != tt.want {
			t.Errorf("%+v is kept for %s, want %s", tt.saved, got, tt.want)
		}
	}
}

// TestFenceOrder shows that the order of fences is the order of epochs, and then of generations.
func TestFenceOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(0, 2))
		e1, g1, e2, g2 := number.Draw(t, "e1"), number.Draw(t, "g1"), number.Draw(t, "e2"), number.Draw(t, "g2")
		want := e1 < e2 || e1 == e2 && g1 < g2
		if got := fence(e1, g1) < fence(e2, g2); got != want {
			t.Errorf("%d-%d before %d-%d: got %t, want %t", e1, g1, e2, g2, got, want)
		}
	})
}

// TestUnreadableStates shows the errors for values that are no states.
func TestUnreadableStates(t *testing.T) {
	value, life := encoded(t, Stored{Epoch: 3, Owner: "a", Saved: recordtest.Examples()[0]}, recordtest.Date)
	replaced := func(old, with string) string {
		if !strings.Contains(value, old) {
			t.Fatalf("%s is not in %s", old, value)
		}
		return strings.Replace(value, old, with, 1)
	}
	for _, tt := range []struct{ value, want string }{
		{"", "it is no state"},
		{strings.Repeat("x", 100), "it is no state"},
		{value[:42], "unexpected end of JSON input"},
		{value[:len(value)-1], "unexpected end of JSON input"},
		{replaced(`"format":2`, `"format":3`), "a newer version of this program wrote it, in format 3"},
		{value[:42] + `{"format":9,"breaker":"elsewhere","epoch":{}}`, "a newer version of this program wrote it, in format 9"},
		{replaced(`"format":2`, `"format":0`), "its format is 0"},
		{replaced(`"epoch":3`, `"epoch":4`), "it begins with another epoch or generation"},
		{replaced(`"generation":6`, `"generation":7`), "it begins with another epoch or generation"},
		{replaced(`"state":"open"`, `"state":"ajar"`), `no breaker.State has the name "ajar"`},
		{replaced(`"openings":1`, `"openings":1,"mood":2`), "not as this version writes it"},
	} {
		if got, err := decodeState(tt.value, life, 0); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: got %+v, error %v; want %q in it", tt.value, got, err, tt.want)
		}
	}
	if got, err := decodeState(value, -1, 0); err == nil {
		t.Errorf("without a time to live: got %+v", got)
	}
}

// FuzzDecodeState shows that a value that can be read, can be written and read again without a change.
func FuzzDecodeState(f *testing.F) {
	for i, saved := range recordtest.Examples() {
		value, life := encoded(f, Stored{Epoch: uint64(i), Owner: "a", Saved: saved}, recordtest.Date)
		f.Add(value[:42], value[42:], life)
	}
	f.Add(fence(1, 2), fmt.Sprintf(`{"format":%d}`, record.Format), int64(0))
	f.Fuzz(func(t *testing.T, begin, text string, ttl int64) {
		if e := (envelope{}); json.Unmarshal([]byte(text), &e) == nil { // most inputs get a fence that is right
			if r, err := record.Decode(e.Breaker); err == nil {
				begin = fence(e.Epoch, r.Generation) + " "
			}
		}
		now := recordtest.Date.Instant
		first, err := decodeState(begin+text, ttl, now)
		if err != nil {
			return
		}
		if first.Saved.Since > now {
			t.Errorf("the state begins %s after now", first.Saved.Since.Sub(now))
		}
		value, life := encoded(t, first, recordtest.Date)
		second, err := decodeState(value, life, now)
		if err != nil {
			t.Fatalf("it cannot be read again: %v", err)
		}
		if diff := cmp.Diff(first, second); diff != "" {
			t.Errorf("(-first +second):\n%s", diff)
		}
	})
}
