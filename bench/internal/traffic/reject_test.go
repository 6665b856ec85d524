package traffic

import (
	"testing"
	"time"
)

func TestFirstReject(t *testing.T) {
	at := func(ms int, status int) Call {
		return Call{Done: time.UnixMilli(int64(ms)), Status: status}
	}
	if got := firstReject([]Call{at(1, 200), at(5, 503), at(2, 503), at(3, 500), at(9, 503)}); got != time.UnixMilli(5) {
		t.Errorf("first reject at %d ms, want 5", got.UnixMilli())
	}
	if got := firstReject([]Call{at(1, 503), at(2, 200)}); !got.IsZero() {
		t.Errorf("first reject at %s, want none, since calls got through afterwards", got)
	}
}

// TestLastToReject: the last proxy counts, and one that rejects nothing is an error.
func TestLastToReject(t *testing.T) {
	at := func(ms int, status int) Call { return Call{Done: time.UnixMilli(int64(ms)), Status: status} }
	quick, slow, never := []Call{at(1, 500), at(4, 503)}, []Call{at(6, 200), at(7, 503), at(8, 503)}, []Call{at(9, 500)}
	if got, err := LastToReject([][]Call{slow, quick}); err != nil || got != time.UnixMilli(7) {
		t.Errorf("got %d ms and error %v, want 7", got.UnixMilli(), err)
	}
	if _, err := LastToReject([][]Call{quick, never}); err == nil {
		t.Error("a proxy that rejects nothing gave no error")
	}
}

// TestTimes: times come in order, whenever they were added.
func TestTimes(t *testing.T) {
	var all Times
	all.Add(time.UnixMilli(2))
	all.Add(time.UnixMilli(1))
	if got := all.Sorted(); len(got) != 2 || got[0] != time.UnixMilli(1) {
		t.Errorf("got %v", got)
	}
}
