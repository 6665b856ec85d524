package sampling

import (
	"time"

	"breakwater.dev/breaker"
)

const (
	// fresh is how long ago a replica may last have said what its proxies sample. After that it is not known.
	fresh = 5 * time.Second
	// kept is for how long the breakers of a replica that has gone count.
	kept = 30 * time.Second
)

// Told has the breakers whose calls the proxies of other replicas do not all log, as those replicas say it, about once a second. The
// zero value knows nothing.
type Told struct{ byReplica map[string]told }

type told struct {
	at   breaker.Instant
	keys map[breaker.Key]bool
}

// Took takes what a replica says. It reports whether there is a breaker in it that was not in what the replica said before, or
// whether it is the first that the replica says.
func (t *Told) Took(replica string, keys []breaker.Key, now breaker.Instant) (news bool) {
	before, known := t.byReplica[replica]
	is := told{now, make(map[breaker.Key]bool, len(keys))}
	for _, key := range keys {
		is.keys[key] = true
		news = news || !before.keys[key]
	}
	if t.byReplica == nil {
		t.byReplica = map[string]told{}
	}
	t.byReplica[replica] = is
	return news || !known
}

// May returns a function that reports whether proxies of other replicas may not log all calls of a breaker. Where one of the
// replicas has not said it lately, that is so for all breakers. The function is safe for concurrent use.
func (t *Told) May(replicas []string, now breaker.Instant) func(breaker.Key) bool {
	for _, id := range replicas {
		if is, known := t.byReplica[id]; !known || now.Sub(is.at) >= fresh {
			return func(breaker.Key) bool { return true }
		}
	}
	all := map[breaker.Key]bool{}
	for id, is := range t.byReplica {
		if now.Sub(is.at) >= kept {
			delete(t.byReplica, id)
			continue
		}
		for key := range is.keys {
			all[key] = true
		}
	}
	return func(key breaker.Key) bool { return all[key] }
}
