package quorum

import (
	"cmp"

	"breakwater.dev/instant"
)

// mayPromise reports whether the promises are over that an earlier process at this address may have made.
func (q *Quorum) mayPromise(now instant.Instant) bool { return now.Sub(q.born) >= promise }

// supporting returns the replica that this one supports, or "".
func (q *Quorum) supporting(now instant.Instant) string {
	if now < q.end {
		return q.supports
	}
	return ""
}

// vote renews the support for a replica whose message has just come, or begins it, and reports whether it did.
func (q *Quorum) vote(id string, now instant.Instant) bool {
	if !q.mayPromise(now) {
		return false
	}
	supported := q.supporting(now)
	if supported != "" && supported != id || !q.wants(id, now) {
		return false
	}
	if supported == "" {
		q.supports, q.began = id, now
	}
	q.end = now.Add(promise)
	return true
}

// candidate has the merits of a replica as the leader.
type candidate struct {
	id    string
	leads bool
	meets int
}

// wants reports whether this replica wants another one, or itself, as the leader. It keeps its leader.
func (q *Quorum) wants(id string, now instant.Instant) bool {
	leads, leaving := q.leading, q.leaving
	if p := q.peers[id]; p != nil {
		leads, leaving = p.leads, p.leaving
	}
	if q.supporting(now) == id && leads {
		return !leaving || q.view.Has(id) // a leader that leaves first makes the view without itself
	}
	return q.best(now) == id
}

// best returns the replica that would be the best leader: it leads already, or most addresses answer it, or it has the lowest id, so
// that all choose the same.
func (q *Quorum) best(now instant.Instant) string {
	var best candidate
	consider := func(c candidate) {
		if c.meets > 0 && (best.id == "" || c.before(best)) {
			best = c
		}
	}
	consider(candidate{q.o.Self.ID, q.leading, q.meets(now)})
	for _, p := range q.peers {
		if now.Sub(p.heard) < silence && !p.leaving {
			consider(candidate{p.ID, p.leads, p.meets})
		}
	}
	return best.id
}

func (c candidate) before(o candidate) bool {
	if c.leads != o.leads {
		return c.leads
	}
	return cmp.Or(-cmp.Compare(c.meets, o.meets), cmp.Compare(c.id, o.id)) < 0
}
