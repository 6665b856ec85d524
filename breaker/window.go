package breaker

import "time"

// windowBuckets is how many parts a window has. More parts make it forget more
// smoothly, and larger.
const windowBuckets = 10

// window counts the calls of the last while in a ring of buckets, with their sum
// kept up to date so that reading costs nothing.
type window struct {
	width    Instant // of one bucket
	newest   int64   // the number of the newest bucket: instant / width
	calls    uint64  // sums over buckets
	failures uint64
	buckets  [windowBuckets]bucket
}

type bucket struct{ calls, failures uint32 }

func newWindow(d time.Duration) window {
	return window{width: Instant(d / windowBuckets)}
}

// advance forgets what has left the window by now. An instant before the newest
// bucket changes nothing: its calls are counted in the newest.
func (w *window) advance(now Instant) {
	current := int64(now / w.width)
	if current <= w.newest {
		return
	}
	if current-w.newest >= windowBuckets {
		*w = window{width: w.width, newest: current}
		return
	}
	for w.newest < current {
		w.newest++
		b := &w.buckets[w.newest%windowBuckets]
		w.calls -= uint64(b.calls)
		w.failures -= uint64(b.failures)
		*b = bucket{}
	}
}

// add counts calls, and how many of them failed, at the instant of the last advance.
func (w *window) add(calls, failures uint32) {
	b := &w.buckets[w.newest%windowBuckets]
	b.calls += calls
	b.failures += failures
	w.calls += uint64(calls)
	w.failures += uint64(failures)
}
