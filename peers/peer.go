package peers

import (
	"slices"

	"breakwater.dev/breaker"
	"breakwater.dev/membership"
	"breakwater.dev/peers/internal/outbox"
	"breakwater.dev/peers/internal/peerspb"
	"breakwater.dev/peers/internal/roster"
)

// peer is another replica, and what goes to it and comes from it.
type peer struct {
	*roster.Peer
	out    outbox.Outbox
	in     outbox.Inbox
	stated uint64          // the number of the last states that were sent to it
	known  uint64          // up to this number its states have come
	synced bool            // known is right
	syncAt breaker.Instant // when it was last asked for all of its states
	offers map[breaker.Key]*offer
}

// send sends a message to another replica.
func (r *Router) send(p *peer, m *peerspb.Message) { r.o.Send(p.Member, m) }

// sendTo sends a message to the replica with that id, if it is known.
func (r *Router) sendTo(id string, m *peerspb.Message) {
	if p := r.known(id); p != nil {
		r.send(p, m)
	}
}

// meet returns another replica, which may not be known yet.
func (r *Router) meet(m membership.Member) *peer { return r.withMail(r.roster.Meet(m)) }

// known returns the replica with that id, or nil.
func (r *Router) known(id string) *peer {
	if p := r.roster.Peer(id); p != nil {
		return r.withMail(p)
	}
	return nil
}

func (r *Router) withMail(of *roster.Peer) *peer {
	p := r.peers[of.ID]
	if p == nil || p.Peer != of {
		p = &peer{Peer: of}
		p.out.Session = 1
		r.peers[of.ID] = p
	}
	return p
}

// others returns all other replicas that are known, by id.
func (r *Router) others() []*peer {
	all := r.roster.Peers()
	others := make([]*peer, len(all))
	for i, p := range all {
		others[i] = r.withMail(p)
	}
	return others
}

// reached returns the replicas that this one reaches, by id.
func (r *Router) reached() []*peer {
	return slices.DeleteFunc(r.others(), func(p *peer) bool { return !p.Reached })
}

// beats sends a beat to every other replica.
func (r *Router) beats(now breaker.Instant) {
	for _, p := range r.others() {
		r.beat(p, now)
	}
}

func (r *Router) beat(p *peer, now breaker.Instant) {
	b := r.roster.Beat(p.Peer, now)
	b.Session, b.Reported, b.Stated = p.in.Session, p.in.Upto(), p.stated
	r.send(p, &peerspb.Message{Kind: &peerspb.Message_Beat{Beat: b}})
}

// tookBeat takes a beat of another replica.
func (r *Router) tookBeat(p *peer, b *peerspb.Beat, now breaker.Instant) {
	r.learnView(b.GetView(), now)
	news := r.roster.TookBeat(p.Peer, b, now)
	if news.Late {
		return
	}
	p.out.Arrived(b.GetSession(), b.GetReported())
	if news.Back {
		p.synced = false
	}
	// While some member is not reached, the others' beats decide where its breakers are.
	if news.Back || news.Lost || news.Moved && r.table.Load().places.Unreached() > 0 {
		r.replace(now)
	}
	if news.Back || news.Behind {
		r.beat(p, now)
	}
	if p.Reached && (!p.synced || p.known != b.GetStated()) {
		r.sync(p, now)
	}
}
