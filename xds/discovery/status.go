package discovery

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"breakwater.dev/gate"
	"breakwater.dev/xds"
)

// NodeStatus describes one proxy's stream.
type NodeStatus struct {
	Node      Node
	Connected time.Time
	// Unknown are the upstreams that the proxy lists and the policy does not have, sorted.
	Unknown []string
	// Forbidden are the upstreams that it lists and does not get, since their callers do not name its workload, sorted.
	Forbidden []string
	Types     []TypeStatus // in the order of [xds.Types]
}

// TypeStatus describes the resources of one type on a stream.
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
	for _, st := range s.streams.all() {
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
	if p := st.server.publisher.Current(); p != nil {
		n.Unknown, n.Forbidden = p.Denied(n.Node)
	}
	for _, typeURL := range xds.Types {
		s := st.proxy.Subscription(typeURL)
		if s == nil {
			continue
		}
		t := TypeStatus{TypeURL: typeURL, Resources: s.Accepted(), Pending: s.Pending(), LastACK: s.LastACK()}
		for _, r := range s.Refusals() {
			t.Refused = append(t.Refused, Refused(r))
		}
		n.Types = append(n.Types, t)
	}
	return n, true
}

// Nodes returns the proxies of all streams that have introduced themselves, by id. It costs much less than
// [Server.Status].
func (s *Server) Nodes() []Node { return s.streams.Nodes() }

// Connected returns each connected proxy once, in order of id.
func (s *Server) Connected() []gate.Node {
	var nodes []gate.Node
	for _, n := range s.Nodes() {
		if len(nodes) == 0 || nodes[len(nodes)-1].ID != n.ID { // a proxy has a stream for its layer, too
			nodes = append(nodes, gate.Node{ID: n.ID, Workload: n.Cluster, Upstreams: n.Upstreams})
		}
	}
	return nodes
}

// Counts returns the totals by type URL; every type of [xds.Types] is there.
func (s *Server) Counts() map[string]TypeCounts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.counts)
}

// Calls returns the upstreams that a workload's proxies list and may call, sorted, and whether any proxy of that workload is
// connected. A proxy that lists none calls every upstream that it may.
func (s *Server) Calls(workload string) (upstreams []string, connected bool) {
	p := s.publisher.Current()
	names := map[string]bool{}
	everything := false
	for _, st := range s.streams.all() {
		st.mu.Lock()
		if st.node != nil && st.node.Cluster == workload {
			connected = true
			everything = everything || st.node.Upstreams == nil
			for _, name := range st.node.Upstreams {
				names[name] = true
			}
		}
		st.mu.Unlock()
	}
	if p == nil {
		return slices.Sorted(maps.Keys(names)), connected
	}
	return p.Calls(workload, names, everything), connected
}
