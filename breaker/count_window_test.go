package breaker

import (
	"testing"
	"time"
)

// newWindow returns a time-based window that begins at 0.
func newWindow(d time.Duration) *window {
	w := &window{}
	w.enter(&Config{WindowDuration: d}, 0)
	return w
}

// TestWindowCoversTenBuckets: a call counts until ten more buckets have begun.
func TestWindowCoversTenBuckets(t *testing.T) {
	const width = Instant(time.Second)
	for _, tt := range []struct {
		name    string
		at, now Instant
		want    uint32
	}{
		{"at once", 0, 0, 1},
		{"from the first instant of a bucket to the last of the window", 0, 10*width - 1, 1},
		{"from the first instant of a bucket, the whole window later", 0, 10 * width, 0},
		{"from the last instant of a bucket, nine tenths later", width - 1, 10*width - 1, 1},
		{"from the last instant of a bucket, just above nine tenths later", width - 1, 10 * width, 0},
		{"much later", 3 * width, 1000 * width, 0},
		{"across the ring's end", 95 * width, 104 * width, 1},
		{"after the ring's end", 95 * width, 105 * width, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWindow(10 * time.Second)
			w.advance(tt.at)
			w.add(call{failed: true}, 1)
			w.advance(tt.now)
			if w.sum.calls != tt.want || w.sum.failures != tt.want {
				t.Errorf("%d calls and %d failures, want %d", w.sum.calls, w.sum.failures, tt.want)
			}
		})
	}
}

// TestWindowForgetsBucketByBucket: one call in each of ten buckets leaves one by one.
func TestWindowForgetsBucketByBucket(t *testing.T) {
	w := newWindow(10 * time.Second)
	at := func(second int) { w.advance(Instant(time.Second) * Instant(second)) }
	for i := range 10 {
		at(i)
		w.add(call{failed: true}, 1)
		w.add(call{}, 1)
	}
	for i := range 11 {
		at(9 + i)
		if calls, failures := uint32(2*(10-i)), uint32(10-i); w.sum.calls != calls || w.sum.failures != failures {
			t.Errorf("%d s later %d calls and %d failures, want %d and %d", i, w.sum.calls, w.sum.failures, calls, failures)
		}
	}
}

// TestWindowUnderSteadyTraffic: over several laps of the ring every bucket is
// emptied before it is used again.
func TestWindowUnderSteadyTraffic(t *testing.T) {
	w := newWindow(10 * time.Second)
	for i := range uint32(35) {
		w.advance(Instant(time.Second) * Instant(i))
		w.add(call{failed: true}, 1)
		w.add(call{}, 2)
		if covered := min(i+1, 10); w.sum.calls != 3*covered || w.sum.failures != covered {
			t.Fatalf("in second %d: %d calls and %d failures, want %d and %d", i, w.sum.calls, w.sum.failures, 3*covered, covered)
		}
	}
}

// TestWindowNeverGoesBack: two goroutines that read the clock one after the other may come in
// the reverse order.
func TestWindowNeverGoesBack(t *testing.T) {
	w := newWindow(10 * time.Second)
	w.advance(Instant(time.Minute))
	w.add(call{}, 1)
	w.advance(Instant(time.Minute) - 1)
	w.add(call{failed: true}, 1)
	if w.sum.calls != 2 || w.sum.failures != 1 {
		t.Errorf("%d calls and %d failures, want 2 and 1", w.sum.calls, w.sum.failures)
	}
	w.advance(Instant(70*time.Second) - 1)
	if w.sum.calls != 2 {
		t.Errorf("%d calls, want both counted in the newest bucket", w.sum.calls)
	}
	w.advance(Instant(70 * time.Second))
	if w.sum.calls != 0 || w.sum.failures != 0 {
		t.Errorf("%d calls and %d failures are left, want none", w.sum.calls, w.sum.failures)
	}
}

// TestWindowOfAnyValidLength: also the smallest, the largest, and one whose tenth is not a
// whole number of nanoseconds.
func TestWindowOfAnyValidLength(t *testing.T) {
	for _, d := range []time.Duration{MinWindow, time.Second + 9, MaxDuration} {
		w := newWindow(d)
		w.advance(epoch)
		w.add(call{failed: true}, 1)
		w.advance(epoch.Add(d - d/windowBuckets - windowBuckets))
		if w.sum.calls != 1 {
			t.Errorf("window of %s: %d calls before nine tenths of it, want 1", d, w.sum.calls)
		}
		w.advance(epoch.Add(d))
		if w.sum.calls != 0 {
			t.Errorf("window of %s: %d calls after all of it, want none", d, w.sum.calls)
		}
	}
}

// TestWindowTakesWhatIsAheadAsNewest: a clock that is ahead cannot put calls into a bucket
// that will be used for later calls.
func TestWindowTakesWhatIsAheadAsNewest(t *testing.T) {
	w := newWindow(10 * time.Second)
	w.advance(Instant(time.Minute))
	w.addAt(call{failed: true}, 1, Instant(65*time.Second))
	w.advance(Instant(70*time.Second) - 1)
	if w.sum.failures != 1 {
		t.Errorf("%d failures in the window of its coming, want 1", w.sum.failures)
	}
	w.advance(Instant(70 * time.Second))
	if w.sum != (sums{}) {
		t.Errorf("%+v after that window, want nothing", w.sum)
	}
}
