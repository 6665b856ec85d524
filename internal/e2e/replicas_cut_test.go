package e2e

import (
	"fmt"
	"testing"
	"time"

	"breakwater.dev/internal/redistest"
)

// partition has barriers on all ways among replicas and to the store.
type partition struct {
	*sharing
	porters map[*replica]*porter
	store   map[*replica]*storeWay
}

// newPartition starts replicas whose ways can be shut.
func newPartition(t *testing.T, store redistest.Kind) *partition {
	t.Helper()
	server := redistest.Start(t, store)
	p := &partition{porters: map[*replica]*porter{}, store: map[*replica]*storeWay{}}
	p.sharing = newSharing(t, server, func(r *replica) {
		p.porters[r], p.store[r] = newPorter(t, r.ip+":18000"), newStoreWay(t, server.Addr)
		r.flags = append(r.flags, "--store", "redis://"+p.store[r].address, "--replica-address", p.porters[r].address)
	}, byRate)
	return p
}

// cut shuts or opens the ways between a replica and all others, in the given directions.
func (p *partition) cut(r *replica, shut, to, from bool) {
	for _, other := range p.all {
		if other == r {
			continue
		}
		if from {
			p.porters[other].before(p.porters[r].address).set(shut)
		}
		if to {
			p.porters[r].before(p.porters[other].address).set(shut)
		}
	}
}

// cutOff shows that calls go on while the owner of a half-open breaker is cut off, that there are no more probes than permits on both
// sides together, and that all replicas agree when the ways are open again.
func cutOff(t *testing.T, store redistest.Kind) {
	p := newPartition(t, store)
	for _, c := range []struct {
		name string
		set  func(owner *replica, shut bool)
	}{
		{"from the others", func(owner *replica, shut bool) { p.cut(owner, shut, true, true) }},
		{"from what the others say", func(owner *replica, shut bool) { p.cut(owner, shut, true, false) }},
		{"from those that ask it", func(owner *replica, shut bool) { p.cut(owner, shut, false, true) }},
		{"from one of the others", func(owner *replica, shut bool) {
			other := p.all[0]
			if other == owner {
				other = p.all[1]
			}
			p.porters[other].before(p.porters[owner].address).set(shut)
			p.porters[owner].before(p.porters[other].address).set(shut)
		}},
		{"from the store", func(owner *replica, shut bool) { p.store[owner].set(shut) }},
		{"from everything", func(owner *replica, shut bool) { p.cut(owner, shut, true, true); p.store[owner].set(shut) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			owner, subjects := p.pick(t)
			probes, crowds := make([]*probed, len(subjects)), make([]crowd, len(subjects))
			for i, s := range subjects {
				probes[i] = s.trip(t)
				crowds[i] = s.crowd(t)
			}
			for i, s := range subjects {
				grows(t, "probes of "+s.host, 5, probes[i].ended.Load)
				probes[i].slowly(t)
			}
			c.set(owner, true)
			for i, s := range subjects {
				calls := crowds[i].calls()
				holds(t, "nothing fails while "+owner.name+" is cut off", 2*time.Second, func() error {
					if n := probes[i].most.Load(); n > permits {
						return fmt.Errorf("%s: %d probes are in flight", s.host, n)
					}
					return nil
				})
				if crowds[i].calls() == calls {
					t.Errorf("%s: there are no calls", s.host)
				}
			}
			for _, p := range probes {
				p.slow.Store(false)
			}
			c.set(owner, false)
			p.agree(t)
			for i, s := range subjects {
				s.heals(t, probes[i])
				crowds[i].clean(t)
				s.pass(t)
			}
		})
	}
}
