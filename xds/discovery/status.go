package discovery

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"breakwater.dev/xds"
)

// NodeStatus is what is known of one proxy's stream.
type NodeStatus struct {
	Node      Node
	Connected time.Time
	// Unknown are the upstreams that the proxy lists and the policy does not have,
	// sorted; at most 20.
	Unknown []string
	Types   []TypeStatus // in the order of [Types]
}

// TypeStatus is what a stream has of one resource type.
type TypeStatus struct {
	TypeURL   string
	Resources int       // sent and not refused
	Pending   bool      // a response awaits its answer
	LastACK   time.Time // zero: none yet
	Refused   []Refused // sorted by name
}

// Refused is a resource that the proxy did not take in the version it was sent.
type Refused struct {
	Name, Version, Message string
	At                     time.Time
}

// Status returns every stream whose proxy has introduced itself, by node id.
func (s *Server) Status() []NodeStatus {
	var all []NodeStatus
	for _, st := range s.all() {
		if n, ok := st.status(); ok {
			all = append(all, n)
		}
	}
	slices.SortFunc(all, func(a, b NodeStatus) int {
		return cmp.Or(cmp.Compare(a.Node.ID, b.Node.ID), a.Connected.Compare(b.Connected))
	})
	return all
}

func (st *stream) status() (NodeStatus, bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.node == nil {
		return NodeStatus{}, false
	}
	n := NodeStatus{Node: *st.node, Connected: st.connected}
	if p := st.server.current.Load(); p != nil {
		n.Unknown = p.unknown(n.Node)
	}
	for _, typeURL := range xds.Types {
		s := st.subs[typeURL]
		if s == nil {
			continue
		}
		t := TypeStatus{TypeURL: typeURL, Pending: s.inFlight, LastACK: s.ackedAt}
		for name, r := range s.sent {
			if _, refused := s.refused[name]; r != nil && !refused {
				t.Resources++
			}
		}
		for _, name := range slices.Sorted(maps.Keys(s.refused)) {
			r := s.refused[name]
			t.Refused = append(t.Refused, Refused{Name: name, Version: r.version, Message: r.message, At: r.at})
		}
		n.Types = append(n.Types, t)
	}
	return n, true
}

// Counts returns the totals by type URL; every type of [Types] is there.
func (s *Server) Counts() map[string]TypeCounts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.counts)
}

// Calls returns the upstreams that a workload's proxies say they call, sorted,
// and whether any proxy of that workload is connected. A proxy that lists none
// calls all of them.
func (s *Server) Calls(workload string) (upstreams []string, connected bool) {
	names := map[string]bool{}
	for _, st := range s.all() {
		st.mu.Lock()
		if st.node != nil && st.node.Cluster == workload {
			connected = true
			listed := st.node.Upstreams
			if listed == nil {
				listed = s.upstreams()
			}
			for _, name := range listed {
				names[name] = true
			}
		}
		st.mu.Unlock()
	}
	return slices.Sorted(maps.Keys(names)), connected
}

func (s *Server) upstreams() []string {
	p := s.current.Load()
	if p == nil {
		return nil
	}
	var names []string
	for _, u := range p.set.Upstreams {
		names = append(names, u.Name)
	}
	return names
}
