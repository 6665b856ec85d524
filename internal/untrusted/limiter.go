package untrusted

import (
	"sync"
	"time"
)

// Rate bounds how many log lines may be written: Burst lines at once, and PerSecond lines a second from then on.
type Rate struct{ Burst, PerSecond float64 }

// maxKeys is how many keys a [Limiter] remembers. All further keys share one allowance.
const maxKeys = 1_024

// Limiter bounds the log lines that peers can cause: Each for the lines about one key, All for the lines about all
// keys together. It is safe for concurrent use, and must not be copied.
type Limiter[K comparable] struct {
	Each, All Rate

	mu     sync.Mutex // guards the fields below
	keys   map[K]*allowance
	all    allowance
	others allowance // the keys beyond maxKeys
	silent uint64    // lines left out since the last line that was written
	swept  time.Time // when full allowances were last removed from keys
}

// allowance is a token bucket, which is full at first.
type allowance struct {
	spent float64
	since time.Time
}

func (a *allowance) refill(now time.Time, perSecond float64) {
	a.spent = max(a.spent-max(now.Sub(a.since).Seconds(), 0)*perSecond, 0)
	a.since = now
}

// Allow reports whether a line about a key may be written now. If so, silent is the number of lines, about any key,
// that were left out since the last line that was written.
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

// allowanceLocked returns the allowance of a key. When there are too many, it removes the allowances that are full
// again: a new one would be the same.
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
