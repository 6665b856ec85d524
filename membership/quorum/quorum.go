package quorum

import (
	"time"

	"breakwater.dev/instant"
	"breakwater.dev/membership"
)

// The times of the protocol.
const (
	// Period is the time between two greetings.
	Period = 300 * time.Millisecond
	// promise is for how long a replica supports no other one. A replica that has just started waits as long, because the process
	// before it at this address may have promised something.
	promise = 2 * time.Second
	// counted is how much of a promise the leader counts on, and how long a lease is at most. The rest is for clocks that do not
	// run alike.
	counted = 1800 * time.Millisecond
	// silence is how long a replica may be silent.
	silence = 1500 * time.Millisecond
	// stable is how long messages of a replica have to come before it becomes a member, so that a replica that dies again and again
	// moves no breakers.
	stable = 1500 * time.Millisecond
	// forgetting is how long a silent replica that is no member is remembered.
	forgetting = 10 * time.Minute
)

// Options describe a replica. Self and Nonce are required.
type Options struct {
	Self membership.Member
	// Nonce returns a random text for each call.
	Nonce func() string
	// Epoch should be the time in seconds when this replica starts, by a clock that outlives processes. A view that follows none has
	// an epoch of at least the time in seconds. So epochs grow even if all replicas have been started again, and know of none.
	Epoch uint64
	// Changing means that the list of addresses may change while replicas run, and that each replica learns of that at another
	// time. If it is false all replicas have the same list.
	Changing bool
}

// Quorum is the part of one replica. Make one with [New].
type Quorum struct {
	o       Options
	born    instant.Instant
	sent    instant.Instant // when the last message was sent
	greeted instant.Instant
	news    bool // the others have to learn at once
	leaving bool
	peers   map[string]*peer

	// The addresses.
	lists    []list // that were seen; the present one is the last
	watching instant.Instant
	met      map[string]meeting
	backers  map[string]backing
	shared   map[string]instant.Instant // addresses at which several replicas have answered in turn

	// The replica that this one supports, since when without a gap, and until when.
	supports   string
	began, end instant.Instant

	view    membership.View // the highest that this replica has accepted
	highest uint64          // the highest epoch that it knows of
	lease   instant.Instant // until when it is a member by the view
	asked   instant.Instant // when that lease was asked for

	leading bool // this replica leads, and decides
}

// peer is another replica.
type peer struct {
	membership.Member
	first    instant.Instant // since when its messages come without a gap
	heard    instant.Instant // when its last message came
	sent     instant.Instant // when that was sent, by its clock
	supports string
	meets    int
	leads    bool
	leaving  bool
	view     membership.View
	highest  uint64
	sum      uint32          // the checksum of its list of addresses
	granted  instant.Instant // until when it may have a lease from this replica
	by       string          // the nonce of the lease's view
}

// New returns the part of a replica that starts now. It knows no addresses.
func New(o Options, now instant.Instant) *Quorum {
	return &Quorum{
		o: o, born: now, peers: map[string]*peer{},
		met: map[string]meeting{}, backers: map[string]backing{}, shared: map[string]instant.Instant{},
	}
}

// Tick does what time brings. Call it every [Period] or more often.
func (q *Quorum) Tick(now instant.Instant) Out {
	q.lapse(now)
	for id, p := range q.peers {
		if now.Sub(p.heard) >= forgetting && !q.view.Has(id) {
			delete(q.peers, id)
		}
	}
	q.lead(now)
	if now.Sub(q.greeted) >= Period {
		q.news = true
	}
	return q.out(nil, now)
}

// Receive takes a message. The caller has authenticated its sender.
func (q *Quorum) Receive(from membership.Member, m *Message, now instant.Instant) Out {
	q.lapse(now)
	if from.ID == q.o.Self.ID {
		q.metSelf(m, now)
		q.lead(now)
		return q.out(nil, now)
	}
	p := q.peer(from)
	late := m.Sent <= p.sent // or it has come twice
	if !late {
		q.note(p, m, now)
	}
	renewed := q.vote(p.ID, now)
	if m.For == q.o.Self.ID {
		q.answered(p, m, now)
		if !late {
			q.follow(p, m, now)
		}
	}
	q.lead(now)
	if m.To == "" {
		return q.out(nil, now)
	}
	answer := q.message(p, now)
	answer.At, answer.Greeted, answer.Backs = m.To, m.Sent, renewed
	if q.o.Changing && q.watched(now) {
		answer.Answers = q.counting(now)
	}
	return q.out([]Envelope{{p.Member, answer}}, now)
}

// Learn takes a view that this replica knows from elsewhere. Views that follow get a higher epoch.
func (q *Quorum) Learn(v membership.View) { q.highest = max(q.highest, v.Epoch) }

// Leave says that this replica shuts down. It still takes part, so that the others can go on without a pause.
func (q *Quorum) Leave() { q.leaving, q.news = true, true }

// Left reports whether this replica is no member of its view, which is in force if it leads, or whether there is no other member.
func (q *Quorum) Left(now instant.Instant) bool {
	if q.view.Has(q.o.Self.ID) {
		return len(q.view.Members) == 1
	}
	return !q.leading || q.grants(now) > now
}

// note takes what a message says of its sender.
func (q *Quorum) note(p *peer, m *Message, now instant.Instant) {
	if now.Sub(p.heard) >= silence {
		p.first = now
	}
	p.heard, p.sent, p.supports, p.meets, p.leads, p.leaving = now, m.Sent, m.Supports, m.Meets, m.Leads, m.Leaving
	p.view, p.highest, p.sum = m.View, max(m.Highest, m.View.Epoch), m.Sum
	q.highest = max(q.highest, p.highest)
}

// answered takes the answer to a greeting.
func (q *Quorum) answered(p *peer, m *Message, now instant.Instant) {
	if m.At == "" {
		return
	}
	q.meet(m.At, p.ID, m.Greeted)
	if m.Backs {
		q.back(m.At, p.ID, m.Greeted)
	}
	q.inherit(m.Answers, m.Greeted, now)
}

// metSelf takes a greeting of this replica to itself. That is how it finds its own address.
func (q *Quorum) metSelf(m *Message, now instant.Instant) {
	if m.To == "" {
		return
	}
	q.meet(m.To, q.o.Self.ID, m.Sent)
	if q.vote(q.o.Self.ID, now) {
		q.back(m.To, q.o.Self.ID, m.Sent)
	}
}

// meet notes who has answered at an address.
func (q *Quorum) meet(address, id string, sent instant.Instant) {
	old, known := q.met[address]
	if known && old.at >= sent {
		return
	}
	if p := q.peers[old.id]; known && old.id != id && (old.id == q.o.Self.ID || p != nil && q.peers[id] != nil && p.heard >= q.peers[id].first.Add(silence)) {
		q.shared[address] = sent // both are alive
	}
	q.met[address] = meeting{id, sent}
}

func (q *Quorum) back(address, id string, sent instant.Instant) {
	if until := sent.Add(counted); until > q.backers[address].until {
		q.backers[address] = backing{id, until}
	}
}

// follow takes the view and the lease of a leader.
func (q *Quorum) follow(p *peer, m *Message, now instant.Instant) {
	// A leader that says so after this replica has begun to support it has begun to lead after all leaders before.
	if m.Leads && q.supports == p.ID && now < q.end && m.Echo >= q.began && m.View.Epoch > q.view.Epoch {
		q.accept(m.View)
	}
	if until := m.Echo.Add(m.Lease); m.Lease > 0 && until > q.lease && m.View.Same(&q.view) && q.view.Has(q.o.Self.ID) {
		q.lease, q.asked = until, m.Echo
	}
}

// accept takes a view in the place of the one before, whose lease ends.
func (q *Quorum) accept(v membership.View) {
	q.view, q.highest, q.lease = v, max(q.highest, v.Epoch), 0
	q.news = true
}

// peer returns what is known of another replica.
func (q *Quorum) peer(m membership.Member) *peer {
	p := q.peers[m.ID]
	if p == nil {
		p = &peer{heard: -1 << 62}
		q.peers[m.ID] = p
	}
	p.Member = m
	return p
}

// message returns a message for a replica, or for one that is not known yet.
func (q *Quorum) message(p *peer, now instant.Instant) *Message {
	q.sent = max(now, q.sent+1)
	m := &Message{
		Sent: q.sent, Supports: q.supporting(now), Meets: q.meets(now), Leads: q.leading, Leaving: q.leaving, View: q.view, Highest: q.highest, Sum: q.sum(),
	}
	if p != nil {
		m.For, m.Echo, m.Lease = p.ID, p.sent, q.grant(p, now)
	}
	return m
}

// out returns what has followed from a call.
func (q *Quorum) out(messages []Envelope, now instant.Instant) Out {
	if q.news {
		q.news, q.greeted = false, now
		for _, a := range q.everywhere(now) {
			m := q.message(q.peers[q.met[a].id], now)
			m.To = a
			messages = append(messages, Envelope{membership.Member{Address: a}, m})
		}
	}
	return Out{Result: membership.Result{View: q.view, Lease: q.lease}, Asked: q.asked, Messages: messages}
}
