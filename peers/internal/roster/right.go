package roster

import (
	"time"

	"breakwater.dev/breaker"
)

// Renew says that this replica is surely a member until an instant, by the view of an epoch. The caller has asked that at another
// instant.
func (r *Roster) Renew(epoch uint64, asked, until breaker.Instant) {
	if epoch != r.view.Epoch {
		return
	}
	if r.lease = max(r.lease, until); r.thawed != 0 && asked >= r.thawed {
		r.thawed = 0
	}
}

// Certain reports whether this replica is surely a member: the source of members has said so, or all other members have confirmed the
// view within the time of a lease, so that none of them can have acted by another one.
func (r *Roster) Certain(now breaker.Instant) bool {
	return r.thawed == 0 && (now < r.lease || !r.LeasesOnly && r.Member() && r.confirmed(now.Add(-Lease)+1))
}

// confirmed reports whether all other members have confirmed the view since an instant.
func (r *Roster) confirmed(since breaker.Instant) bool {
	for _, m := range r.view.Members {
		if m.ID == r.Self.ID {
			continue
		}
		if agreed := r.peers[m.ID].agreed; agreed == 0 || agreed < since {
			return false
		}
	}
	return true
}

// Awake notes that the process goes on, and returns for how long it has stood still; 0: it has not. After that it is in doubt whether
// it still is a member.
func (r *Roster) Awake(now breaker.Instant) (still time.Duration) {
	if still = now.Sub(r.looked); r.looked == 0 || still < frozen {
		return 0
	}
	r.looked, r.thawed, r.lease = now, now, 0
	for _, p := range r.peers {
		p.agreed = 0
		p.Heard = max(p.Heard, now.Add(-silence/2)) // its beats may wait to be read
	}
	return still
}

// Look notes that the process was looked at.
func (r *Roster) Look(now breaker.Instant) { r.looked = now }

// InDoubt reports whether the process has stood still, and was not confirmed since: other replicas may have taken its breakers. Its
// doubt ends when it is confirmed, when it is no member, or after a second without an answer.
func (r *Roster) InDoubt(now breaker.Instant) bool {
	switch {
	case r.thawed == 0:
		return false
	case !r.Member(), r.confirmed(r.thawed), now.Sub(r.thawed) >= doubt:
		r.thawed = 0
		return false
	default:
		return true
	}
}
