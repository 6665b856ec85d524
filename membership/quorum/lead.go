package quorum

import (
	"cmp"
	"slices"
	"time"

	"breakwater.dev/instant"
	"breakwater.dev/membership"
)

func everyone(string) bool { return true }

// leads reports whether a majority supports this replica now.
func (q *Quorum) leads(now instant.Instant) bool {
	return q.supporting(now) == q.o.Self.ID && q.majority(everyone, now) > now
}

// lapse ends the leadership if the majority is lost. It comes before all else that happens at an instant: another replica may have
// led meanwhile, even if the majority is there again.
func (q *Quorum) lapse(now instant.Instant) {
	if !q.leads(now) {
		q.leading = false
	}
}

// lead decides, where this replica leads.
func (q *Quorum) lead(now instant.Instant) {
	if !q.leads(now) {
		q.leading = false
		return
	}
	if !q.leading {
		q.begin(now)
	}
	q.change(now)
	if until := q.grants(now); until > q.lease && q.view.Has(q.o.Self.ID) {
		q.lease, q.asked = until, until.Add(-counted)
	}
}

// begin begins to lead. A view that a majority still has is the last that was in force, so that it goes on. Else a view may have
// been in force that all replicas have forgotten, and the next one follows none.
func (q *Quorum) begin(now instant.Instant) {
	q.leading, q.news = true, true
	last := q.view
	for _, b := range q.backers {
		if p := q.peers[b.id]; p != nil && b.until > now && later(&p.view, &last) {
			last = p.view
		}
	}
	switch {
	case last.Epoch == 0 || q.majority(q.has(&last), now) <= now || last.Epoch == q.view.Epoch && !last.Same(&q.view):
		q.propose(q.members(&last, now), "", now)
	case !last.Same(&q.view):
		q.accept(last)
	}
}

// later reports whether a view has the higher epoch. The nonce decides between two of one epoch, so that all decide alike.
func later(v, o *membership.View) bool {
	return cmp.Or(cmp.Compare(v.Epoch, o.Epoch), cmp.Compare(v.Nonce, o.Nonce)) > 0
}

// has returns whether a replica has a view.
func (q *Quorum) has(v *membership.View) func(id string) bool {
	return func(id string) bool {
		if id == q.o.Self.ID {
			return v.Same(&q.view)
		}
		p := q.peers[id]
		return p != nil && v.Same(&p.view)
	}
}

// change makes the next view if there is a reason for one. The view before has reached a majority by then, so that views do not
// follow each other faster than they are learned.
func (q *Quorum) change(now instant.Instant) {
	if q.majority(q.has(&q.view), now) <= now {
		return
	}
	next := q.members(&q.view, now)
	if len(next) == 0 || slices.Equal(next, q.view.Members) && !q.outbid(now) {
		return
	}
	q.propose(next, q.view.Nonce, now)
}

// outbid reports whether a replica has another view that is not below this one's. It would never take this one.
func (q *Quorum) outbid(now instant.Instant) bool {
	for _, p := range q.peers {
		other := p.highest > q.view.Epoch || p.view.Epoch == q.view.Epoch && !p.view.Same(&q.view)
		if other && now.Sub(p.heard) < silence {
			return true
		}
	}
	return false
}

// propose makes the next view. It is in force when [Quorum.grants] says so.
func (q *Quorum) propose(members []membership.Member, follows string, now instant.Instant) {
	epoch := q.highest + 1
	if follows == "" {
		epoch = max(epoch, q.o.Epoch+uint64(now.Sub(q.born)/time.Second))
	}
	q.accept(membership.View{Epoch: epoch, Nonce: q.o.Nonce(), Follows: follows, Members: members})
}

// grants returns until when this leader may give leases by its view; 0: the view is not in force yet. A majority has to have it,
// so that no later leader misses it, and no replica may have a lease by another view.
func (q *Quorum) grants(now instant.Instant) instant.Instant {
	if !q.leading {
		return 0
	}
	for _, p := range q.peers {
		if p.granted > now && p.by != q.view.Nonce && p.view.Nonce == p.by {
			return 0
		}
	}
	return q.majority(q.has(&q.view), now)
}

// grant returns for how long after its last message a replica gets a lease. The lease ends when the leader may no longer lead, at
// the latest.
func (q *Quorum) grant(p *peer, now instant.Instant) time.Duration {
	until := q.grants(now)
	if until <= now || !q.view.Has(p.ID) || !p.view.Same(&q.view) {
		return 0
	}
	lasts := min(until.Sub(p.heard), counted)
	if p.by != q.view.Nonce {
		p.granted = 0
	}
	p.granted, p.by = max(p.granted, p.heard.Add(lasts)), q.view.Nonce
	return max(lasts, 0)
}

// members returns who should be members after a view: its members, without those that leave or are silent and no longer have a
// lease, and replicas that have been there for a time.
func (q *Quorum) members(v *membership.View, now instant.Instant) (next []membership.Member) {
	for _, m := range v.Members {
		if !q.gone(m.ID, now) {
			next = append(next, m)
		}
	}
	for id, p := range q.peers {
		joins := p.supports == q.o.Self.ID && now.Sub(p.heard) < silence && (now.Sub(p.first) >= stable || len(v.Members) == 0)
		if joins && !p.leaving && !v.Has(id) {
			next = append(next, p.Member)
		}
	}
	if !q.leaving && !v.Has(q.o.Self.ID) {
		next = append(next, q.o.Self)
	}
	slices.SortFunc(next, func(x, y membership.Member) int { return cmp.Compare(x.ID, y.ID) })
	return next
}

// gone reports whether a member has left, or has died as far as this replica can tell.
func (q *Quorum) gone(id string, now instant.Instant) bool {
	if id == q.o.Self.ID {
		return q.leaving
	}
	p, heard := q.peers[id], q.hearing(now)
	if p != nil {
		if p.leaving {
			return true
		}
		heard = max(heard, p.heard)
	}
	return now.Sub(heard) >= silence && (p == nil || now >= p.granted)
}

// hearing returns since when this replica has had messages of some other one without a gap. A replica that was silent before does
// not count as silent yet: this one may have been cut off.
func (q *Quorum) hearing(now instant.Instant) instant.Instant {
	since := now
	for _, p := range q.peers {
		if now.Sub(p.heard) < silence {
			since = min(since, p.first)
		}
	}
	if since == now {
		return q.born // it is alone
	}
	return since
}
