package clock

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"breakwater.dev/instant"
)

// lone is the clock of a proxy that has one stream.
type lone struct {
	Proxy
	stream *Stream
}

func newLone(now instant.Instant) *lone {
	l := &lone{}
	l.stream = l.Add(now)
	return l
}

func (l *lone) at(end time.Duration, now instant.Instant) instant.Instant {
	return l.At(l.stream, end, now)
}

// TestClockOfTheProxyDoesNotMatter: calls keep their distances in time, whatever the proxy's clock shows.
func TestClockOfTheProxyDoesNotMatter(t *testing.T) {
	now := instant.Instant(time.Hour)
	for _, off := range []time.Duration{0, -24 * time.Hour, 365 * 24 * time.Hour} {
		c := newLone(now)
		end := time.Duration(now) + off
		if got := c.at(end-40*time.Millisecond, now); got != now {
			t.Errorf("the first call is %s off", got.Sub(now))
		}
		// An entry that came faster shows that the first one had been held back.
		if got := c.at(end, now); got.Sub(now).Abs() > time.Microsecond {
			t.Errorf("off by %s: a call whose entry came faster is %s off", off, got.Sub(now))
		}
		if got := c.at(end-10*time.Millisecond, now); got != now.Add(-10*time.Millisecond) {
			t.Errorf("off by %s: a call from 10 ms ago is %s ago", off, now.Sub(got))
		}
	}
}

// TestHeldBackKeepsItsPlace: the call of an entry that arrives ten seconds late ended ten seconds ago.
func TestHeldBackKeepsItsPlace(t *testing.T) {
	now := instant.Instant(time.Hour)
	c := newLone(now)
	c.at(time.Duration(now), now)
	later := now.Add(10 * time.Second)
	if got := c.at(time.Duration(now)+time.Second, later); got != now.Add(time.Second) {
		t.Errorf("it is %s ago, want 9s", later.Sub(got))
	}
}

// TestClockKeepsOrder: a call that ended later stays later, and no call ended in the future.
func TestClockKeepsOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := instant.Instant(time.Hour)
		c := newLone(now)
		end, last := time.Duration(rapid.Int64Range(-1e18, 1e18).Draw(t, "start")), instant.Instant(0)
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

// TestAnyTime: an entry may claim any time, and its call still has not ended in the future.
func TestAnyTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := instant.Instant(time.Hour)
		var p Proxy
		streams := []*Stream{p.Add(now), p.Add(now)}
		for range rapid.IntRange(1, 50).Draw(t, "n") {
			now = now.Add(time.Duration(rapid.Int64Range(0, 3e9).Draw(t, "pause")))
			end := time.Duration(rapid.Int64().Draw(t, "end"))
			if at := p.At(rapid.SampledFrom(streams).Draw(t, "stream"), end, now); at > now.Add(time.Microsecond) {
				t.Fatalf("a call that ended at %s ended %s from now", end, at.Sub(now))
			}
		}
	})
}
