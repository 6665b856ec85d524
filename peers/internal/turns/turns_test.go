package turns

import (
	"testing"
	"time"

	"breakwater.dev/breaker"
)

// TestTurns: each replica whose proxies want calls has its turn, in order, as long as it is there.
func TestTurns(t *testing.T) {
	var of Turns
	now := breaker.Instant(time.Hour)
	gone := map[string]bool{}
	next := func(want string) {
		t.Helper()
		of.Next("b", func(replica string) bool { return !gone[replica] }, now)
		if of.Current != want {
			t.Errorf("it is the turn of %q, want %q", of.Current, want)
		}
	}
	next("b") // where no replica wants calls, it is this one's
	of.Wants("c", now)
	next("c")
	next("c")
	of.Wants("a", now)
	of.Wants("b", now)
	next("a")
	next("b")
	next("c")
	next("a")
	gone["b"] = true
	next("c")
	gone["b"] = false
	now = now.Add(lasts - 1)
	of.Wants("c", now)
	of.Wants("c", now.Add(-lasts)) // it is known already that it wants later
	next("a")
	now = now.Add(1)
	next("c")
	next("c")
	now = now.Add(lasts)
	next("b")
}
