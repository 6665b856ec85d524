package untrusted

import (
	"sync"
	"time"
)

// Rate is how many lines may be written: Burst at once, and PerSecond from then on.
type Rate struct{ Burst, PerSecond float64 }

// maxKeys is how many keys a [Limiter] remembers; the others share one allowance.
const maxKeys = 1_024

// Limiter bounds the lines that peers cause in a log, about each key and about all together. It
// is safe for concurrent use, and is not copied.
type Limiter[K comparable] struct {
	Each, All Rate

	mu     sync.Mutex // guards what follows
	keys   map[K]*allowance
	all    allowance
	others allowance
	silent uint64 // lines that were not written since the last one that was
	swept  time.Time
}

// allowance is a bucket of tokens, which is full at first.
type allowance struct {
	spent float64
	since time.Time
}

func (a *allowance) refill(now time.Time, perSecond float64) {
	a.spent = max(a.spent-max(now.Sub(a.since).Seconds(), 0)*perSecond, 0)
	a.since = now
}

// Allow tells whether a line about a key may be written now, and how many lines about any key
// were not written since the last one that was.
func (l *Limiter[K]) Allow(key K, now time.Time) (ok bool, silent uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	own := l.allowanceLocked(key, now)
	own.refill(now, l.Each.PerSecond)
	l.all.refill(now, l.All.PerSecond)
	if own.spent+1 > l.Each.Burst || l.all.spent+1 > l.All.Burst {
		l.silent++
		return false, 0
	}
	own.spent++
	l.all.spent++
	silent, l.silent = l.silent, 0
	return true, silent
}

// allowanceLocked returns that of a key. Those that have refilled are as good as forgotten.
func (l *Limiter[K]) allowanceLocked(key K, now time.Time) *allowance {
	if a := l.keys[key]; a != nil {
		return a
	}
	if len(l.keys) >= maxKeys && now.Sub(l.swept) >= time.Second {
		l.swept = now
		for k, a := range l.keys {
			if a.refill(now, l.Each.PerSecond); a.spent == 0 {
				delete(l.keys, k)
			}
		}
	}
	if len(l.keys) >= maxKeys {
		return &l.others
	}
	if l.keys == nil {
		l.keys = map[K]*allowance{}
	}
	a := &allowance{since: now}
	l.keys[key] = a
	return a
}
