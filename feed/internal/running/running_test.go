package running

import (
	"sync/atomic"
	"testing"
	"time"

	"breakwater.dev/instant"
)

// rig has the calls of one proxy, and adds new ones.
type rig struct {
	Calls
	all  atomic.Int64
	now  instant.Instant
	next time.Duration
}

func newRig() *rig {
	r := &rig{now: instant.Instant(time.Hour)}
	r.Calls = New(&r.all)
	return r
}

// add adds up to n calls, and returns for how many there was room.
func (r *rig) add(n int, until instant.Instant) (added int) {
	for range n {
		r.next++
		if r.Add(ID{1, r.next}, r.now, until, r.now) {
			added++
		}
	}
	return added
}

// want fails the test if other numbers of calls are remembered, of this proxy and of all.
func (r *rig) want(t *testing.T, calls int, all int64) {
	t.Helper()
	if got := r.Len(); got != calls || r.all.Load() != all {
		t.Errorf("%d calls are remembered, and %d of all proxies; want %d and %d", got, r.all.Load(), calls, all)
	}
}

// TestCallsAreKnownOnce: a call is new once, and has ended once. Calls differ by their connections, and by the times at which they began.
func TestCallsAreKnownOnce(t *testing.T) {
	r := newRig()
	until := r.now.Add(time.Minute)
	ids := []ID{{1, 1}, {1, 2}, {2, 1}}
	for i, id := range ids {
		if began := r.now.Add(time.Duration(i)); !r.Add(id, began, until, r.now) || r.Add(id, began, until, r.now) {
			t.Errorf("%v is not new once", id)
		}
	}
	r.want(t, 3, 3)
	for i, id := range ids {
		if began, known := r.End(id); began != r.now.Add(time.Duration(i)) || !known {
			t.Errorf("%v began at %d, known %t", id, began, known)
		}
		if _, known := r.End(id); known {
			t.Errorf("%v has ended twice", id)
		}
	}
	r.want(t, 0, 0)
}

// TestCallsAreBounded: each proxy has a bound, and so have all proxies together.
func TestCallsAreBounded(t *testing.T) {
	r := newRig()
	if got := r.add(MaxCalls+5, r.now.Add(time.Minute)); got != MaxCalls {
		t.Errorf("%d calls were added, want %d", got, MaxCalls)
	}
	r.want(t, MaxCalls, MaxCalls)
	r.Clear()
	r.want(t, 0, 0)
	r.all.Store(MaxAll - 1)
	if got := r.add(5, r.now.Add(time.Minute)); got != 1 {
		t.Errorf("%d calls were added, want the one for which there is room", got)
	}
	r.want(t, 1, MaxAll)
}

// TestCallsWhoseEndsWereLost are forgotten when they must have ended, and so make room.
func TestCallsWhoseEndsWereLost(t *testing.T) {
	r := newRig()
	r.add(MaxCalls-1, r.now.Add(time.Minute))
	r.add(1, r.now.Add(time.Hour))
	r.now = r.now.Add(time.Minute - 1)
	if got := r.add(1, r.now.Add(time.Hour)); got != 0 {
		t.Error("a call was added where there is no room")
	}
	r.now = r.now.Add(sweepInterval)
	if got := r.add(1, r.now.Add(time.Hour)); got != 1 {
		t.Error("calls that must have ended take up the room of others")
	}
	r.want(t, 2, 2)
}
