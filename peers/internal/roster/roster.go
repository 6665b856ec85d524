package roster

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/membership"
	"breakwater.dev/peers/internal/peerspb"
	"breakwater.dev/peers/internal/places"
)

// The times of the protocol.
const (
	// Lease is how long a replica stays a member without a renewal.
	Lease = 2 * time.Second
	// Period is the time between two beats to a replica.
	Period = 200 * time.Millisecond
	// silence is how long a replica may send no beat before the others do without it.
	silence = 1500 * time.Millisecond
	// frozen is how long a process may not have been looked at. After a longer time it has stood still, and other replicas may
	// have taken its breakers.
	frozen = time.Second
	// doubt is how long a process that has stood still waits at most for a confirmation.
	doubt = time.Second
	// forgetting is how long a silent replica that is no member is remembered.
	forgetting = 10 * time.Minute
)

// Peer is another replica, which need not be a member.
type Peer struct {
	membership.Member
	Reached bool // its beats come, and it does not leave
	Leaving bool
	Hears   []string        // the replicas that it reaches
	Epoch   uint64          // the epoch of the view by which it acts
	Heard   breaker.Instant // when its last beat came
	Met     bool            // there was a beat
	echo    int64           // its last beat, by its clock
	agreed  breaker.Instant // our last beat that it had when it sent its own by the view in force; 0: none
}

// Roster has the replicas. Make it with [New].
type Roster struct {
	Self membership.Member
	// Leaving means that this replica takes no breakers any longer.
	Leaving bool
	// LeasesOnly means that beats of all members are no proof of the membership; see [Roster.Certain].
	LeasesOnly bool

	view   membership.View
	begun  bool            // there was a view
	lease  breaker.Instant // until when this replica is a member, by the source of members
	peers  map[string]*Peer
	looked breaker.Instant // when the process last went on; 0: never
	thawed breaker.Instant // when it went on after it had stood still; 0: it is confirmed since
	sent   breaker.Instant // when beats were last sent; 0: never
}

// New returns the roster of a replica, without a view.
func New(self membership.Member, leasesOnly bool) *Roster {
	return &Roster{Self: self, LeasesOnly: leasesOnly, peers: map[string]*Peer{}}
}

// View returns the view in force; begun is false before the first one.
func (r *Roster) View() (v *membership.View, begun bool) { return &r.view, r.begun }

// Member reports whether this replica is a member.
func (r *Roster) Member() bool { return r.view.Has(r.Self.ID) }

// Meet returns what is known of another replica, which it may not be yet.
func (r *Roster) Meet(m membership.Member) *Peer {
	p := r.peers[m.ID]
	if p == nil {
		p = &Peer{Member: m}
		r.peers[m.ID] = p
	}
	return p
}

// Peer returns what is known of a replica, or nil.
func (r *Roster) Peer(id string) *Peer { return r.peers[id] }

// Reaches reports whether this replica reaches another one.
func (r *Roster) Reaches(id string) bool {
	p := r.peers[id]
	return p != nil && p.Reached
}

// Peers returns all other replicas that are known, by id.
func (r *Roster) Peers() []*Peer {
	return slices.SortedFunc(maps.Values(r.peers), func(x, y *Peer) int { return cmp.Compare(x.ID, y.ID) })
}

// Reached returns the replicas that this one reaches, by id.
func (r *Roster) Reached() []*Peer {
	return slices.DeleteFunc(r.Peers(), func(p *Peer) bool { return !p.Reached })
}

// Reach returns where breakers can be.
func (r *Roster) Reach() *places.Reach {
	reach := places.Reach{Self: r.Self.ID, Beyond: map[string][]string{}}
	for _, m := range r.view.Members {
		if m.ID == r.Self.ID && r.Leaving {
			continue // others decide, also where the view still has this replica
		}
		reach.Members = append(reach.Members, m.ID)
		if p := r.peers[m.ID]; p != nil && p.Reached {
			reach.Beyond[m.ID] = p.Hears
		}
	}
	return &reach
}

// Apply takes a view. It reports whether that is another one than before, and whether it follows the one before directly. A view
// that is older than the one in force is ignored.
func (r *Roster) Apply(v membership.View, now breaker.Instant) (changed, follows bool) {
	if r.begun && (v.Epoch < r.view.Epoch || v.Same(&r.view)) {
		return false, false
	}
	follows = v.Follows != "" && v.Follows == r.view.Nonce
	r.view, r.lease, r.begun = v, 0, true
	for _, m := range v.Members {
		if m.ID != r.Self.ID {
			r.Meet(m)
		}
	}
	for id, p := range r.peers {
		p.agreed = 0
		if !p.Reached && !v.Has(id) && (now.Sub(p.Heard) >= forgetting || !p.Met) {
			delete(r.peers, id)
		}
	}
	return true, follows
}

// Beat returns the beat for another replica. The caller adds what it has to say, and sends it.
func (r *Roster) Beat(p *Peer, now breaker.Instant) *peerspb.Beat {
	b := &peerspb.Beat{From: memberOut(r.Self), View: ViewOut(&r.view), Sent: int64(now), Echo: p.echo, Leaving: r.Leaving}
	for _, other := range r.Reached() {
		if other.ID != p.ID {
			b.Hears = append(b.Hears, other.ID)
		}
	}
	return b
}

// BeatsDue reports whether it is time for beats to all other replicas, and notes that they are sent.
func (r *Roster) BeatsDue(now breaker.Instant) bool {
	if r.sent != 0 && now.Sub(r.sent) < Period {
		return false
	}
	r.sent = now
	return true
}

// News has the consequences of a beat.
type News struct {
	Late bool // a beat that was sent after this one has come before; nothing follows
	Back bool // the replica was not reached before
	Lost bool // the replica was reached before
	// Moved means that breakers may be elsewhere, though the replica is reached as before.
	Moved bool
	// Behind means that the replica acts by an older view.
	Behind bool
}

// TookBeat takes a beat of another replica. The caller has taken the view in it before.
func (r *Roster) TookBeat(p *Peer, b *peerspb.Beat, now breaker.Instant) News {
	if b.GetSent() < p.echo {
		return News{Late: true}
	}
	was := p.Reached
	moved := !slices.Equal(p.Hears, b.GetHears())
	p.Member = memberIn(b.GetFrom())
	p.Heard, p.Met, p.Hears, p.Leaving, p.echo = now, true, b.GetHears(), b.GetLeaving(), b.GetSent()
	p.Reached = !p.Leaving
	p.Epoch = b.GetView().GetEpoch()
	echo := breaker.Instant(b.GetEcho()) // a later one than now is not by this replica's clock
	if p.Epoch == r.view.Epoch && b.GetView().GetNonce() == r.view.Nonce && echo <= now {
		p.agreed = max(p.agreed, echo)
	}
	return News{Back: p.Reached && !was, Lost: was && !p.Reached, Moved: moved, Behind: p.Epoch < r.view.Epoch}
}

// Silent reports whether a replica has become silent that was reached before.
func (r *Roster) Silent(now breaker.Instant) (lost bool) {
	for _, p := range r.peers {
		if p.Reached && now.Sub(p.Heard) >= silence {
			p.Reached, lost = false, true
		}
	}
	return lost
}

// Answers reports whether a replica is there, though it may be leaving.
func (p *Peer) Answers(now breaker.Instant) bool {
	return p.Reached || p.Leaving && now.Sub(p.Heard) < silence
}
