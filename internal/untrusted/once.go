package untrusted

import (
	"sync"
	"time"
)

// Once bounds how often a line is written: about each key once in Every, and within that about
// Most keys. It is safe for concurrent use, and is not copied.
type Once[K comparable] struct {
	Every time.Duration
	Most  int

	mu     sync.Mutex // guards what follows
	said   map[K]time.Time
	silent uint64
}

// Due tells whether a line about a key is to be written now, and how many lines about any key
// were not written since the last one that was.
func (o *Once[K]) Due(key K, now time.Time) (due bool, silent uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if last, said := o.said[key]; said && now.Sub(last) < o.Every || !said && !o.roomLocked(now) {
		o.silent++
		return false, 0
	}
	if o.said == nil {
		o.said = map[K]time.Time{}
	}
	o.said[key] = now
	silent, o.silent = o.silent, 0
	return true, silent
}

// roomLocked makes room for one more key, if there is none, and tells whether there is some.
func (o *Once[K]) roomLocked(now time.Time) bool {
	if len(o.said) < o.Most {
		return true
	}
	for key, last := range o.said {
		if now.Sub(last) >= o.Every {
			delete(o.said, key)
		}
	}
	return len(o.said) < o.Most
}
