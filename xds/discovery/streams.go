package discovery

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"breakwater.dev/internal/lockorder"
	"breakwater.dev/xds/discovery/internal/node"
	"breakwater.dev/xds/discovery/internal/publication"
)

// Node is a proxy, as it introduced itself.
type Node = node.Node

// streams are all open streams; they are the [publication.Proxies]. The zero value has none.
type streams struct {
	mu  lockorder.Mutex[lockorder.DiscoveryLeaf]
	set map[*stream]bool // guarded by mu
}

func (s *streams) add(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.set == nil {
		s.set = map[*stream]bool{}
	}
	s.set[st] = true
}

func (s *streams) remove(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.set, st)
}

// all returns the streams that are open now.
func (s *streams) all() []*stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.set))
}

// Nodes returns the proxies of all streams that have introduced themselves, by id.
func (s *streams) Nodes() []Node {
	var nodes []Node
	for _, st := range s.all() {
		st.mu.Lock()
		if st.node != nil {
			nodes = append(nodes, *st.node)
		}
		st.mu.Unlock()
	}
	slices.SortFunc(nodes, func(a, b Node) int { return cmp.Compare(a.ID, b.ID) })
	return nodes
}

// Late reports whether a proxy may still route calls by other routes than the ones in p.
func (s *streams) Late(p *Publication, now time.Time) bool {
	return slices.ContainsFunc(s.all(), func(st *stream) bool { return st.isLate(p, now) })
}

// Admit lists, for every proxy, the upstreams on which it may report. It does not wait for a stream that is stuck in
// sending.
func (s *streams) Admit() {
	for _, st := range s.all() {
		st.admit()
	}
}

// Wake has the streams look at a publication, which is the current one, for whose proxies it has other content than they
// have looked at.
func (s *streams) Wake(p *Publication) {
	for _, st := range s.all() {
		if st.lags(p) {
			st.wake()
		}
	}
}

var _ publication.Proxies = (*streams)(nil)
