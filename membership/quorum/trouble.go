package quorum

import (
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"time"

	"breakwater.dev/instant"
)

// acquaintance is how long replicas may need to find each other.
const acquaintance = 5 * time.Second

// Trouble returns what seems to be wrong with the list of addresses, as sentences for operators; none: nothing.
func (q *Quorum) Trouble(now instant.Instant) (all []string) {
	if len(q.lists) == 0 || now.Sub(q.born) < acquaintance {
		return nil
	}
	present := q.lists[len(q.lists)-1].addresses
	at := map[string]string{}
	for _, a := range present {
		m, known := q.met[a]
		if !known || now.Sub(m.at) >= acquaintance {
			continue
		}
		if other := at[m.id]; other != "" {
			all = append(all, fmt.Sprintf("one replica answers at %s and at %s; list each replica once", other, a))
		}
		at[m.id] = a
		if since, shared := q.shared[a]; shared && now.Sub(since) < forgetting {
			all = append(all, fmt.Sprintf("several replicas answer at %s; list an address of each, and none of a load balancer", a))
		}
	}
	if at[q.o.Self.ID] == "" && (!q.o.Changing || now.Sub(q.born) >= Watch) {
		all = append(all, fmt.Sprintf("this replica does not meet itself at any of %s, so that no majority counts it; list the address at which it is reached", strings.Join(present, ", ")))
	}
	for _, p := range q.peers {
		if !q.o.Changing && p.sum != 0 && p.sum != q.sum() && now.Sub(p.heard) < silence {
			all = append(all, fmt.Sprintf("%s at %s has another list; all replicas need the same one", p.Name, p.Address))
		}
	}
	slices.Sort(all)
	return all
}

// sum returns a checksum of the list of addresses, by which replicas notice that they have different ones; 0: it may change.
func (q *Quorum) sum() uint32 {
	if q.o.Changing || len(q.lists) == 0 {
		return 0
	}
	return crc32.ChecksumIEEE([]byte(strings.Join(q.lists[len(q.lists)-1].addresses, ",")))
}
