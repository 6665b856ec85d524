package core

import (
	"slices"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/membership"
	"breakwater.dev/peers/internal/outbox"
	"breakwater.dev/peers/internal/peerspb"
	"breakwater.dev/peers/internal/roster"
)

// Peer is another replica, and what goes to it and comes from it.
type Peer struct {
	*roster.Peer
	out    outbox.Outbox
	in     outbox.Inbox
	stated uint64          // the number of the last states that were sent to it
	known  uint64          // up to this number its states have come
	newest uint64          // the highest number of states that have come
	synced bool            // known is right
	syncAt breaker.Instant // when it was last asked for all of its states
	offers map[breaker.Key]*offer
}

// Send sends a message to another replica.
func (c *Core) Send(p *Peer, m *peerspb.Message) { c.o.Send(p.Member, m) }

// SendTo sends a message to the replica with that id, if it is known.
func (c *Core) SendTo(id string, m *peerspb.Message) {
	if p := c.Known(id); p != nil {
		c.Send(p, m)
	}
}

// Meet returns another replica, which may not be known yet.
func (c *Core) Meet(m membership.Member) *Peer { return c.withMail(c.roster.Meet(m)) }

// Known returns the replica with that id, or nil.
func (c *Core) Known(id string) *Peer {
	if p := c.roster.Peer(id); p != nil {
		return c.withMail(p)
	}
	return nil
}

func (c *Core) withMail(of *roster.Peer) *Peer {
	p := c.peers[of.ID]
	if p == nil || p.Peer != of {
		p = &Peer{Peer: of}
		p.out.Session = c.NewID() // higher than before, where the other one was forgotten
		c.peers[of.ID] = p
	}
	return p
}

// Others returns all other replicas that are known, by id.
func (c *Core) Others() []*Peer {
	all := c.roster.Peers()
	others := make([]*Peer, len(all))
	for i, p := range all {
		others[i] = c.withMail(p)
	}
	return others
}

// Reached returns the replicas that this one reaches, by id.
func (c *Core) Reached() []*Peer {
	return slices.DeleteFunc(c.Others(), func(p *Peer) bool { return !p.Reached })
}

// Lag returns the age of the oldest outcome that its owner has not confirmed; 0: there is none.
func (c *Core) Lag(now breaker.Instant) (lag time.Duration) {
	for _, p := range c.Others() {
		if since, ok := p.out.Oldest(); ok {
			lag = max(lag, now.Sub(since))
		}
	}
	return lag
}

// beats sends a beat to every other replica.
func (c *Core) beats(now breaker.Instant) {
	for _, p := range c.Others() {
		c.beat(p, now)
	}
}

func (c *Core) beat(p *Peer, now breaker.Instant) {
	b := c.roster.Beat(p.Peer, now)
	b.Session, b.Reported, b.Stated = p.in.Session, p.in.Upto(), p.stated
	c.Send(p, &peerspb.Message{Kind: &peerspb.Message_Beat{Beat: b}})
}

// tookBeat takes a beat of another replica.
func (c *Core) tookBeat(p *Peer, b *peerspb.Beat, now breaker.Instant) {
	c.learnView(b.GetView(), now)
	news := c.roster.TookBeat(p.Peer, b, now)
	if news.Late {
		return
	}
	p.out.Arrived(b.GetSession(), b.GetReported())
	if news.Back {
		p.synced = false
	}
	// While some member is not reached, the others' beats decide where its breakers are.
	if news.Back || news.Lost || news.Moved && c.table.Load().places.Unreached() > 0 {
		c.replace(now)
	}
	if news.Back || news.Behind {
		c.beat(p, now)
	}
	if p.Reached && (!p.synced || p.known != b.GetStated()) {
		c.sync(p, now)
	}
}
