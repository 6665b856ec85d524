package peers

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"breakwater.dev/membership"
	"breakwater.dev/membership/quorum"
)

// source is where the replicas of a world get their members from.
type source interface {
	// start starts the part of a replica that has just started.
	start(p *replica)
	// room reports whether another replica may start.
	room() bool
	// heal ends everything that is wrong.
	heal()
}

// addresses has the replicas find each other by a list of addresses, of which each has one replica at a time.
type addresses struct {
	w    *world
	list []string
	at   map[string]*replica
}

func newAddresses(w *world, n int) *addresses {
	a := &addresses{w: w, at: map[string]*replica{}}
	for i := range n {
		a.list = append(a.list, fmt.Sprintf("a%d", i+1))
	}
	return a
}

// free returns an address at which no replica is; "": there is none.
func (a *addresses) free() string {
	i := slices.IndexFunc(a.list, func(one string) bool { return a.at[one] == nil || a.at[one].dead })
	if i < 0 {
		return ""
	}
	return a.list[i]
}

func (a *addresses) room() bool { return a.free() != "" }

func (a *addresses) heal() {
	for len(a.w.living()) <= len(a.list)/2 {
		a.w.start()
	}
}

func (a *addresses) start(p *replica) {
	w := a.w
	a.at[a.free()] = p
	q := quorum.New(quorum.Options{
		Self: p.member, Nonce: func() string { return fmt.Sprint(w.random.Uint64()) }, Epoch: uint64(time.Duration(w.now).Seconds()),
	}, p.now())
	take := func(out quorum.Out) {
		p.router.View(out.Result.View, p.now())
		if out.Result.Lease != 0 {
			p.router.Lease(out.Result.View.Epoch, out.Asked, out.Result.Lease, p.now())
		}
		for _, e := range out.Messages {
			a.send(p, e)
		}
	}
	p.counted = func(from membership.Member, m *quorum.Message) { take(q.Receive(from, m, p.now())) }
	q.Addresses(a.list, p.now())
	var tick func()
	tick = func() {
		if p.dead {
			return
		}
		p.do(func() {
			q.Learn(p.router.Known())
			take(q.Tick(p.now()))
		})
		w.after(quorum.Period/3, tick)
	}
	w.after(0, tick)
}

// send carries a message of a source, or loses it.
func (a *addresses) send(from *replica, e quorum.Envelope) {
	w := a.w
	data, err := json.Marshal(e.Message)
	if err != nil {
		w.fail("marshal: %v", err)
	}
	to := e.To.ID
	if at := a.at[e.To.Address]; at != nil {
		to = at.member.ID
	}
	w.carry(from, to, func(target *replica) {
		m := &quorum.Message{}
		if err := json.Unmarshal(data, m); err != nil {
			w.fail("unmarshal: %v", err)
		}
		target.counted(from.member, m)
	})
}
