package feed

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"breakwater.dev/breaker"
)

// lone is the clock of a proxy that has one stream.
type lone struct {
	clocks
	stream *clock
}

func newLone(now breaker.Instant) *lone {
	l := &lone{}
	l.stream = l.clocks.stream(now)
	return l
}

func (l *lone) at(end time.Duration, now breaker.Instant) breaker.Instant {
	return l.clocks.at(l.stream, end, now)
}

// TestClockOfTheProxyDoesNotMatter: calls keep their distances, whatever the clock says.
func TestClockOfTheProxyDoesNotMatter(t *testing.T) {
	now := breaker.Instant(time.Hour)
	for _, off := range []time.Duration{0, -24 * time.Hour, 365 * 24 * time.Hour} {
		c := newLone(now)
		end := time.Duration(now) + off
		if got := c.at(end-40*time.Millisecond, now); got != now {
			t.Errorf("the first is %s off", got.Sub(now))
		}
		// One that was quicker tells that the first had been held back.
		if got := c.at(end, now); got.Sub(now).Abs() > time.Microsecond {
			t.Errorf("off by %s: one that was quicker is %s off", off, got.Sub(now))
		}
		if got := c.at(end-10*time.Millisecond, now); got != now.Add(-10*time.Millisecond) {
			t.Errorf("off by %s: one from 10 ms ago is %s ago", off, now.Sub(got))
		}
	}
}

// TestHeldBackKeepsItsPlace: what arrives ten seconds late ended ten seconds ago.
func TestHeldBackKeepsItsPlace(t *testing.T) {
	now := breaker.Instant(time.Hour)
	c := newLone(now)
	c.at(time.Duration(now), now)
	later := now.Add(10 * time.Second)
	if got := c.at(time.Duration(now)+time.Second, later); got != now.Add(time.Second) {
		t.Errorf("it is %s ago, want 9s", later.Sub(got))
	}
}

// TestClockKeepsOrder: what ended later stays later, and nothing is to come.
func TestClockKeepsOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := breaker.Instant(time.Hour)
		c := newLone(now)
		end, last := time.Duration(rapid.Int64Range(-1e18, 1e18).Draw(t, "start")), breaker.Instant(0)
		for range rapid.IntRange(1, 50).Draw(t, "n") {
			now = now.Add(time.Duration(rapid.Int64Range(0, 3e9).Draw(t, "pause")))
			end += time.Duration(rapid.Int64Range(1, 2e9).Draw(t, "later"))
			at := c.at(end, now)
			if at > now.Add(time.Microsecond) || at <= last {
				t.Fatalf("at %d, want after %d and not after %d", at, last, now)
			}
			last = at
		}
	})
}
