package peers

import (
	"errors"
	"fmt"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/peers/internal/convert"
	"breakwater.dev/peers/internal/core"
	"breakwater.dev/peers/internal/peerspb"
)

// ByHand is a change of a breaker by hand.
type ByHand struct {
	Key breaker.Key
	// State is the state to force. Reset means that the breaker is reset instead.
	State    breaker.State
	Reset    bool
	By, Note string
	Lasts    time.Duration // a forced state ends after it
}

// change is a change by hand on its way to the breaker's owner.
type change struct {
	ByHand
	id    uint64
	done  func(error)
	sent  breaker.Instant
	until breaker.Instant
	state *convert.State // that others have to know before the change is done; nil: it is not made yet
}

// madeChange is a change that was made here for another replica.
type madeChange struct {
	id  uint64
	err error
	key breaker.Key
}

const (
	// changeTimeout is how long a change by hand waits for the breaker's owner. It is long enough for another replica to
	// take the place of one that has died.
	changeTimeout = 4 * time.Second
	maxMade       = 256
)

// ErrNoOwner is the error of a change by hand that no replica has confirmed.
var ErrNoOwner = errors.New("the replica that owns this breaker does not answer; try again, and look whether the change was made")

// Force puts a breaker in a state by hand, wherever it is; see [breaker.Engine.Force].
func (r *Router) Force(key breaker.Key, o breaker.Override, now breaker.Instant) error {
	return r.wait(ByHand{Key: key, State: o.State, By: o.By, Note: o.Note, Lasts: o.Until.Sub(now)}, now)
}

// Reset resets a breaker, wherever it is; see [breaker.Engine.Reset].
func (r *Router) Reset(key breaker.Key, by, note string, now breaker.Instant) error {
	return r.wait(ByHand{Key: key, Reset: true, By: by, Note: note}, now)
}

func (r *Router) wait(c ByHand, now breaker.Instant) error {
	result := make(chan error, 1)
	r.Change(c, now, func(err error) { result <- err })
	return <-result // Tick ends it
}

// Change makes a change by hand. done gets the result, on another goroutine, without a lock.
func (r *Router) Change(c ByHand, now breaker.Instant, done func(error)) {
	r.mu.Lock()
	defer r.unlock()
	one := &change{ByHand: c, id: r.core.NewID(), done: done, until: now.Add(changeTimeout)}
	r.changes[one.id] = one
	r.core.Awake(now)
	r.hurry(one, now)
}

// hurry sends a change to the owner of its breaker, or makes it here.
func (r *Router) hurry(c *change, now breaker.Instant) {
	switch {
	case now >= c.until:
		r.end(c, ErrNoOwner, now)
		return
	case c.sent != 0 && now.Sub(c.sent) < core.Again, r.core.InDoubt(now):
		return
	}
	c.sent = now
	switch at := r.core.Find(c.Key); {
	case at == nil:
		r.end(c, breaker.ErrUnknown, now)
	case c.state != nil:
		r.spread(c, now)
	case at.Here():
		r.makeHere(c, now)
	case at.To != "":
		r.core.SendTo(at.To, &peerspb.Message{Kind: &peerspb.Message_Change{Change: &peerspb.Change{
			Id: c.id, Key: convert.Key(c.Key), Reset_: c.Reset, State: int32(c.State), By: c.By, Note: c.Note, Lasts: int64(c.Lasts),
		}}})
	}
}

// end ends a change.
func (r *Router) end(c *change, err error, _ breaker.Instant) {
	if _, waits := r.changes[c.id]; waits {
		delete(r.changes, c.id)
		r.core.Later(func() { c.done(err) })
	}
}

// makeHere has this replica's engine make a change, and others know of it before it is done, so that it outlives this replica.
func (r *Router) makeHere(c *change, now breaker.Instant) {
	if err := r.byHand(c.ByHand, now); err != nil {
		r.end(c, err, now)
		return
	}
	r.core.Later(func() {
		r.o.Flush()
		r.mu.Lock()
		defer r.unlock()
		state, known := r.core.State(c.Key, now)
		if !known || len(r.core.Reached()) == 0 {
			r.end(c, nil, now)
			return
		}
		c.state, c.until = state, min(c.until, now.Add(core.Patience))
		r.spread(c, now)
	})
}

// spread has other replicas confirm that they know of a change.
func (r *Router) spread(c *change, now breaker.Instant) {
	m := convert.StateOut(c.state, now)
	for _, p := range r.core.Others() {
		if p.Reached {
			r.core.Send(p, &peerspb.Message{Kind: &peerspb.Message_States{States: &peerspb.States{States: []*peerspb.State{m}, Confirm: c.id}}})
		}
	}
}

// confirmed takes the confirmation of another replica.
func (r *Router) confirmed(id uint64, now breaker.Instant) {
	if c := r.changes[id]; c != nil && c.state != nil {
		r.end(c, nil, now)
	}
}

// byHand has this replica's engine make a change.
func (r *Router) byHand(c ByHand, now breaker.Instant) error {
	if c.Reset {
		return r.o.Engine.Reset(c.Key, c.By, c.Note, now)
	}
	return r.o.Engine.Force(c.Key, breaker.Override{State: c.State, By: c.By, Note: c.Note, Until: now.Add(c.Lasts)}, now)
}

// tookChange makes a change for another replica, or passes it on.
func (r *Router) tookChange(p *core.Peer, m *peerspb.Change, now breaker.Instant) {
	key := convert.KeyOf(m.GetKey())
	at := r.core.Find(key)
	switch {
	case at == nil:
		r.reply(p, m.GetId(), key, breaker.ErrUnknown, now)
		return
	case at.To != "" && m.GetHops() < core.MaxHops:
		m.Hops++
		r.core.SendTo(at.To, &peerspb.Message{Kind: &peerspb.Message_Change{Change: m}})
		return
	case !at.Here() || r.core.InDoubt(now):
		return // it comes again
	}
	for _, one := range r.made {
		if one.id == m.GetId() {
			r.reply(p, one.id, key, one.err, now)
			return
		}
	}
	if s := m.GetState(); s < 0 || s > int32(breaker.Open) {
		return
	}
	c := ByHand{Key: key, Reset: m.GetReset_(), State: breaker.State(m.GetState()), By: m.GetBy(), Note: m.GetNote(), Lasts: time.Duration(m.GetLasts())}
	err := r.byHand(c, now)
	r.made = append(r.made, madeChange{m.GetId(), err, key})
	if len(r.made) > maxMade {
		r.made = r.made[1:]
	}
	r.core.Later(func() {
		r.o.Flush()
		r.mu.Lock()
		defer r.unlock()
		r.reply(p, m.GetId(), key, err, now)
	})
}

// reply tells the replica that was asked what became of a change, and the state that followed.
func (r *Router) reply(p *core.Peer, id uint64, key breaker.Key, err error, now breaker.Instant) {
	m := &peerspb.Changed{Id: id}
	switch {
	case errors.Is(err, breaker.ErrUnknown):
		m.Unknown = true
	case errors.Is(err, breaker.ErrDisabled):
		m.Disabled = true
	case err != nil:
		m.Error = err.Error()
	default:
		if s, known := r.core.State(key, now); known {
			m.State = convert.StateOut(s, now)
		}
	}
	r.core.Send(p, &peerspb.Message{Kind: &peerspb.Message_Changed{Changed: m}})
}

func (r *Router) tookChanged(p *core.Peer, m *peerspb.Changed, now breaker.Instant) {
	c := r.changes[m.GetId()]
	if c == nil {
		return
	}
	var err error
	switch {
	case m.GetUnknown():
		err = breaker.ErrUnknown
	case m.GetDisabled():
		err = breaker.ErrDisabled
	case m.GetError() != "":
		err = fmt.Errorf("another replica: %s", m.GetError())
	case m.GetState() != nil:
		if s, ok := convert.StateIn(m.GetState(), now); ok {
			if at := r.core.Find(s.Saved.Key); at != nil && !at.Here() {
				r.core.Learn(p, s, false, now)
			}
		}
	}
	r.end(c, err, now)
}
