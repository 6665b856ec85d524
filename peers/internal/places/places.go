package places

import (
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/dgryski/go-rendezvous"

	"breakwater.dev/breaker"
)

// Reach is the knowledge of one replica about the others.
type Reach struct {
	// Self is this replica. It need not be a member.
	Self string
	// Members are the replicas that share the breakers.
	Members []string
	// Beyond has, for each replica that this one reaches, the replicas which that one reaches.
	Beyond map[string][]string
}

// Map says where each breaker is. The zero value has no members.
type Map struct {
	members ring
	near    ring            // the members that this replica reaches, and itself
	relays  map[string]ring // by a member that is not reached: the members in between, if there are any
	reached map[string]bool
}

// New returns the places of breakers by what a replica knows.
func New(r *Reach) *Map {
	m := &Map{members: newRing(r.Members), relays: map[string]ring{}, reached: map[string]bool{r.Self: true}}
	var near, far []string
	for _, id := range r.Members {
		_, reached := r.Beyond[id]
		m.reached[id] = reached || id == r.Self
		if m.reached[id] {
			near = append(near, id)
		} else {
			far = append(far, id)
		}
	}
	if len(near) == 0 {
		near = []string{r.Self}
	}
	m.near = newRing(near)
	for _, id := range far {
		var between []string
		for _, by := range near {
			if by != r.Self && slices.Contains(r.Beyond[by], id) {
				between = append(between, by)
			}
		}
		if len(between) > 0 {
			m.relays[id] = newRing(between)
		}
	}
	return m
}

// Owner returns the owner of a breaker; "" where there are no members.
func (m *Map) Owner(key breaker.Key) string { return m.members.of(key) }

// Acting returns the replica that decides about a breaker as far as this replica can tell. It is the owner if that one is
// reached. If not, it is a member that reaches the owner, and passes on to it. If there is none, it is one of the members
// that are reached, this replica included: the owner's own decisions are not known on this side.
func (m *Map) Acting(key breaker.Key) string {
	owner := m.Owner(key)
	switch by, relayed := m.relays[owner]; {
	case owner != "" && m.reached[owner]:
		return owner
	case relayed:
		return by.of(key)
	default:
		return m.near.of(key)
	}
}

// Unreached returns how many of the other members this replica does not reach.
func (m *Map) Unreached() (n int) {
	for _, reached := range m.reached {
		if !reached {
			n++
		}
	}
	return n
}

// ring places keys on replicas by rendezvous hashing: a change of one replica moves only the keys of that one. The zero value has none.
type ring struct {
	only string // where there is one replica
	many *rendezvous.Rendezvous
}

func newRing(ids []string) ring {
	switch len(ids) {
	case 0:
		return ring{}
	case 1:
		return ring{only: ids[0]}
	default:
		return ring{many: rendezvous.New(ids, xxhash.Sum64String)}
	}
}

func (r ring) of(key breaker.Key) string {
	if r.many == nil {
		return r.only
	}
	return r.many.Lookup(key.String())
}
