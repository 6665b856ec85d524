package lease

import (
	"testing"
	"time"
)

// at is a time of a test.
func at(seconds float64) time.Time {
	return time.Unix(1_000, 0).Add(time.Duration(seconds * float64(time.Second)))
}

// send sends a layer alone.
func send(l *Leases, ttl time.Duration, now time.Time) {
	l.Begin()
	l.Sent("a", ttl, now)
}

const ttl = 15 * time.Second

// TestRenewal shows when a layer is renewed, and when its content has to come with that.
func TestRenewal(t *testing.T) {
	for name, tt := range map[string]struct {
		before func(l *Leases)
		now    float64
		ttl    time.Duration
		wait   time.Duration
		lapses bool
	}{
		"from an earlier stream":       {func(*Leases) {}, 0, ttl, -1, false},
		"just sent":                    {func(l *Leases) { send(l, ttl, at(0)); l.Taken() }, 0, ttl, 5 * time.Second, false},
		"due":                          {func(l *Leases) { send(l, ttl, at(0)); l.Taken() }, 5, ttl, 0, false},
		"the control plane hung":       {func(l *Leases) { send(l, ttl, at(0)); l.Taken() }, 9.9, ttl, -4900 * time.Millisecond, false},
		"the control plane hung, long": {func(l *Leases) { send(l, ttl, at(0)); l.Taken() }, 10, ttl, -5 * time.Second, true},
		"shorter from now on":          {func(l *Leases) { send(l, ttl, at(0)); l.Taken() }, 1, ttl / 5, 0, false},
		"longer from now on":           {func(l *Leases) { send(l, ttl/5, at(0)); l.Taken() }, 1, ttl, 0, false},
		"renewed":                      {func(l *Leases) { send(l, ttl, at(0)); l.Taken(); send(l, ttl, at(5)); l.Taken() }, 10, ttl, 0, false},
		"refused":                      {func(l *Leases) { send(l, ttl, at(0)); l.Taken(); send(l, ttl, at(5)); l.Refused() }, 6, ttl, 4 * time.Second, true},
		"taken after it was refused":   {func(l *Leases) { send(l, ttl, at(0)); l.Refused(); send(l, ttl, at(1)); l.Taken() }, 6, ttl, 0, false},
		"refused without having it":    {func(l *Leases) { send(l, ttl, at(0)); l.Refused() }, 1, ttl, 4 * time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			var l Leases
			tt.before(&l)
			wait, lapses := l.wait("a", tt.ttl, at(tt.now)), l.lapses("a", at(tt.now))
			if wait != tt.wait && !(tt.wait < 0 && wait < tt.wait) || lapses != tt.lapses {
				t.Errorf("it is due after %s, lapses %t; want %s, %t", wait, lapses, tt.wait, tt.lapses)
			}
		})
	}
}

// TestUntil shows until when a proxy keeps its layers: counted from when they were sent, and known when it has answered.
func TestUntil(t *testing.T) {
	var l Leases
	want := func(when string, a, b time.Time) {
		t.Helper()
		if gotA, gotB := l.of("a").until, l.of("b").until; !gotA.Equal(a) || !gotB.Equal(b) {
			t.Errorf("%s: until %s and %s, want %s and %s", when, gotA, gotB, a, b)
		}
	}
	never := time.Time{}
	want("nothing was sent", never, never)
	l.Begin()
	l.Sent("a", ttl, at(0))
	l.Sent("b", 0, at(0))
	want("sent", never, never)
	l.Taken()
	want("taken", at(15), never)
	l.Begin()
	l.Sent("b", ttl/5, at(5))
	l.Taken()
	want("another one got keys", at(15), at(8))
	l.Begin()
	l.Sent("a", ttl, at(6))
	l.Sent("b", 0, at(6))
	l.Refused()
	want("a refused response changes nothing", at(15), at(8))
	l.Begin()
	l.Sent("a", 0, at(7))
	l.Taken()
	want("it has no keys any more", never, at(8))
}
