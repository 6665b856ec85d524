package discovery

import (
	"cmp"
	"maps"
	"slices"

	"breakwater.dev/api"
	"breakwater.dev/gate"
	"breakwater.dev/internal/untrusted"
	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery/internal/protocol"
)

// Status returns the proxies that are connected and have introduced themselves, by id. A proxy has a stream for its
// resources and one for its runtime layer, and is one node all the same. Names that the proxy has made up are fit to show.
func (s *Server) Status() []api.Node {
	var streams []api.Node
	for _, st := range s.streams.all() {
		if n, ok := st.status(); ok {
			streams = append(streams, n)
		}
	}
	slices.SortFunc(streams, func(a, b api.Node) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), a.ConnectedSince.Compare(b.ConnectedSince))
	})
	nodes, duplicates := []api.Node{}, s.present.Duplicates()
	for _, n := range streams {
		if last := len(nodes) - 1; last >= 0 && nodes[last].ID == n.ID {
			nodes[last].Types = append(nodes[last].Types, n.Types...)
			continue
		}
		n.ConnectedSince = api.Timestamp(n.ConnectedSince)
		_, n.Duplicate = slices.BinarySearch(duplicates, n.ID)
		nodes = append(nodes, n)
	}
	return nodes
}

// status describes the proxy by this one stream. ok is false before the proxy has introduced itself.
func (st *stream) status() (n api.Node, ok bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.node == nil {
		return api.Node{}, false
	}
	n = api.Node{
		ID: st.node.ID, Cluster: untrusted.Name(st.node.Cluster), Version: st.node.Version,
		ConnectedSince: st.connected, Outdated: st.node.TooOld(), Types: []api.ResourceType{},
	}
	if p := st.server.publisher.Current(); p != nil {
		unknown, forbidden := p.Denied(*st.node)
		n.UnknownUpstreams, n.ForbiddenUpstreams = untrusted.Names(unknown), untrusted.Names(forbidden)
	}
	for _, typeURL := range xds.Types {
		if s := st.proxy.Subscription(typeURL); s != nil {
			n.Types = append(n.Types, api.ResourceType{
				Type: typeURL, Resources: s.Accepted(), LastACK: api.Timestamp(s.LastACK()), NACK: nack(s.Refusals()),
			})
		}
	}
	return n, true
}

// nack describes the refusals of one type by the last of them; nil: there are none.
func nack(refusals []protocol.Refusal) *api.NACK {
	if len(refusals) == 0 {
		return nil
	}
	var names []string
	var last protocol.Refusal
	for _, r := range refusals {
		names = append(names, r.Name)
		if r.At.After(last.At) {
			last = r
		}
	}
	return &api.NACK{At: api.Timestamp(last.At), Message: last.Message, Resources: untrusted.Names(names)}
}

// Connected returns each connected proxy once, in order of id. It costs much less than [Server.Status].
func (s *Server) Connected() []gate.Node {
	var nodes []gate.Node
	for _, n := range s.streams.Nodes() {
		if len(nodes) == 0 || nodes[len(nodes)-1].ID != n.ID { // a proxy has a stream for its layer, too
			nodes = append(nodes, gate.Node{ID: n.ID, Workload: n.Cluster, Upstreams: n.Upstreams})
		}
	}
	return nodes
}

// Count returns the number of connected proxies.
func (s *Server) Count() int { return len(s.Connected()) }

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
	return p.Calls(workload, slices.Sorted(maps.Keys(names)), everything), connected
}
