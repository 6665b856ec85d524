package sampling

import (
	"maps"
	"time"

	"breakwater.dev/breaker"
)

const (
	// fresh is how long ago a replica may last have said what its proxies sample. After that it is not known.
	fresh = 5 * time.Second
	// kept is for how long a breaker counts after a replica has last named it: a proxy that has lost its connection to that replica
	// keeps its layers for a while.
	kept = 30 * time.Second
)

// Told has the breakers whose calls the proxies of other replicas do not all log, as those replicas say it, about once a second. The
// zero value knows nothing.
type Told struct {
	last  map[string]breaker.Instant // by a replica: when it last said something
	named map[breaker.Key]breaker.Instant
}

// Took takes what a replica says. It reports whether [Told.May] may say something else now.
func (t *Told) Took(replica string, keys []breaker.Key, now breaker.Instant) (news bool) {
	if t.last == nil {
		t.last, t.named = map[string]breaker.Instant{}, map[breaker.Key]breaker.Instant{}
	}
	last, known := t.last[replica]
	t.last[replica] = now
	news = !known || now.Sub(last) >= fresh
	for _, key := range keys {
		_, known := t.named[key]
		t.named[key] = now
		news = news || !known
	}
	return news
}

// May returns a function that reports whether proxies of other replicas may not log all calls of a breaker. Where one of these
// replicas has not said anything lately, that is so for all breakers. The function is safe for concurrent use.
func (t *Told) May(replicas []string, now breaker.Instant) func(breaker.Key) bool {
	for id, at := range t.last {
		if now.Sub(at) >= kept {
			delete(t.last, id)
		}
	}
	for key, at := range t.named {
		if now.Sub(at) >= kept {
			delete(t.named, key)
		}
	}
	for _, id := range replicas {
		if at, known := t.last[id]; !known || now.Sub(at) >= fresh {
			return func(breaker.Key) bool { return true }
		}
	}
	named := maps.Clone(t.named)
	return func(key breaker.Key) bool { _, is := named[key]; return is }
}
