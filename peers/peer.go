package peers

import (
	"maps"
	"slices"

	"breakwater.dev/breaker"
	"breakwater.dev/membership"
	"breakwater.dev/peers/internal/outbox"
	"breakwater.dev/peers/internal/peerspb"
)

// peer is another replica, which need not be a member.
type peer struct {
	membership.Member
	heard   breaker.Instant // when its last beat came
	met     bool            // there was one
	reached bool            // its beats come
	leaving bool
	hears   []string        // the replicas that it reaches
	epoch   uint64          // of the view by which it acts
	echo    int64           // of its last beat
	agreed  breaker.Instant // this replica's last beat that it had got when it sent its last one, and was of our epoch; 0: none
	out     outbox.Outbox
	in      outbox.Inbox
	stated  uint64          // the number of the last states that were sent to it
	known   uint64          // up to this number its states have come
	synced  bool            // known is right
	syncAt  breaker.Instant // when it was last asked for all of its states
	offers  map[breaker.Key]*offer
}

// send sends a message to another replica.
func (r *Router) send(p *peer, m *peerspb.Message) {
	to := p.Member
	r.o.Send(to, m)
}

// sendTo sends a message to the replica with that id, if it is known.
func (r *Router) sendTo(id string, m *peerspb.Message) {
	if p := r.peers[id]; p != nil {
		r.send(p, m)
	}
}

// peer returns what is known of another replica.
func (r *Router) peer(m membership.Member) *peer {
	p := r.peers[m.ID]
	if p == nil {
		p = &peer{Member: m}
		p.out.Session = 1
		r.peers[m.ID] = p
	}
	return p
}

// sorted returns all other replicas in the order of their ids.
func (r *Router) sorted() []*peer {
	return slices.SortedFunc(maps.Values(r.peers), func(x, y *peer) int {
		if x.ID < y.ID {
			return -1
		}
		return 1
	})
}

// beats sends a beat to every other replica.
func (r *Router) beats(now breaker.Instant) {
	r.beatAt = now
	for _, p := range r.sorted() {
		r.beat(p, now)
	}
}

func (r *Router) beat(p *peer, now breaker.Instant) {
	b := &peerspb.Beat{
		From: replicaOut(r.o.Self), View: viewOut(&r.view), Sent: int64(now), Echo: p.echo, Leaving: r.leaving,
		Session: p.in.Session, Reported: p.in.Upto(), Stated: p.stated,
	}
	for _, other := range r.sorted() {
		if other.reached && other.ID != p.ID {
			b.Hears = append(b.Hears, other.ID)
		}
	}
	r.send(p, &peerspb.Message{Kind: &peerspb.Message_Beat{Beat: b}})
}

// tookBeat takes a beat of another replica.
func (r *Router) tookBeat(p *peer, b *peerspb.Beat, now breaker.Instant) {
	back := !p.reached
	if b.GetSent() < p.echo && !back { // one that was sent before came after it
		return
	}
	p.Member = memberIn(b.GetFrom())
	moved := !slices.Equal(p.hears, b.GetHears()) || p.leaving != b.GetLeaving()
	p.heard, p.met, p.hears, p.leaving, p.echo = now, true, b.GetHears(), b.GetLeaving(), b.GetSent()
	p.out.Arrived(b.GetSession(), b.GetReported())
	r.learnView(b.GetView(), now)
	if p.epoch = b.GetView().GetEpoch(); p.epoch == r.view.Epoch && b.GetView().GetNonce() == r.view.Nonce {
		p.agreed = max(p.agreed, breaker.Instant(b.GetEcho()))
	}
	if p.epoch < r.view.Epoch {
		r.beat(p, now) // it has to learn of the view
	}
	switch p.reached = !p.leaving; {
	case p.reached && back:
		p.synced = false
		r.replace(now)
		r.beat(p, now)
	case back != !p.reached || moved && r.unsure():
		r.replace(now)
	}
	if p.reached && (!p.synced || p.known != b.GetStated()) {
		r.sync(p, now)
	}
}

// unsure reports whether this replica does not reach some other member. Then it depends on the others' beats where breakers
// are.
func (r *Router) unsure() bool { return r.table.Load().places.Unreached() > 0 }

// missing notes which replicas are silent.
func (r *Router) missing(now breaker.Instant) {
	lost := false
	for _, p := range r.peers {
		if p.reached && now.Sub(p.heard) >= silence {
			p.reached, lost = false, true
		}
	}
	if lost {
		r.replace(now)
	}
}

// forget drops replicas that are no members and have been silent for long.
func (r *Router) forget(now breaker.Instant) {
	for id, p := range r.peers {
		if !p.reached && !r.view.Has(id) && (now.Sub(p.heard) >= forgetting || !p.met) {
			delete(r.peers, id)
		}
	}
}

func replicaOut(m membership.Member) *peerspb.Replica {
	return &peerspb.Replica{Id: m.ID, Address: m.Address, Name: m.Name}
}

func memberIn(m *peerspb.Replica) membership.Member {
	return membership.Member{ID: m.GetId(), Address: m.GetAddress(), Name: m.GetName()}
}

func viewOut(v *membership.View) *peerspb.View {
	m := &peerspb.View{Epoch: v.Epoch, Nonce: v.Nonce, Follows: v.Follows}
	for _, member := range v.Members {
		m.Members = append(m.Members, replicaOut(member))
	}
	return m
}

func viewIn(m *peerspb.View) membership.View {
	v := membership.View{Epoch: m.GetEpoch(), Nonce: m.GetNonce(), Follows: m.GetFollows()}
	for _, member := range m.GetMembers() {
		v.Members = append(v.Members, memberIn(member))
	}
	return v
}
