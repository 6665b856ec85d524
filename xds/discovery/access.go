package discovery

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"breakwater.dev/policy"
	"breakwater.dev/xds"
)

// access says which upstreams of a set the proxies of each workload get, by the callers that the upstreams
// name. It treats all workloads that no upstream names as one, so the policy bounds its size.
type access struct {
	set       *policy.Set // with what departs
	upstreams map[string]*policy.Upstream
	departing []string        // of them; whoever lists upstreams calls these, too
	named     map[string]bool // workloads; empty: every workload may call every upstream

	mu  sync.Mutex
	all map[string]called // by workload, "" for those that are not named: of proxies that list nothing
}

// called are upstreams that a proxy calls and may call.
type called struct {
	names   []string // nil: all
	reached []string // they, and those that take over from them: who may make a call may have it taken over
	sum     [sha256.Size]byte
}

func newAccess(set *policy.Set, departing []departure) *access {
	a := &access{set: set, upstreams: xds.ByName(set), named: map[string]bool{}, all: map[string]called{}}
	for _, d := range departing {
		a.departing = append(a.departing, d.upstream.Name)
	}
	for _, u := range set.Upstreams {
		for _, workload := range u.Callers {
			a.named[workload] = true
		}
	}
	return a
}

// call makes what calls these upstreams. An empty list and nil (all) give different sums, and names are
// quoted, so that no node can claim what others get.
func (a *access) call(names []string) called {
	c := called{names: names}
	if names != nil {
		c.reached = xds.Reached(a.upstreams, names)
	}
	c.sum = sha256.Sum256(fmt.Appendf(nil, "%#v %#v", names, c.reached))
	return c
}

// of returns what a node calls.
func (a *access) of(n Node) called {
	if n.Upstreams != nil {
		names := n.Upstreams
		if len(a.departing) > 0 {
			names = slices.Concat(names, a.departing)
		}
		return a.call(admitted(a.upstreams, n.Cluster, names))
	}
	workload := n.Cluster
	if !a.named[workload] {
		workload = ""
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	c, known := a.all[workload]
	if !known {
		c = a.call(a.mayCall(workload))
		a.all[workload] = c
	}
	return c
}

// mayCall returns all upstreams that a workload may call; nil: it may call all there are.
func (a *access) mayCall(workload string) []string {
	names := []string{}
	for _, u := range a.set.Upstreams {
		if u.Admits(workload) {
			names = append(names, u.Name)
		}
	}
	if len(names) == len(a.set.Upstreams) {
		return nil
	}
	return names
}

// admitted returns those of the names whose upstreams admit a workload. Names that are not
// known stay: they may come with a later policy.
func admitted(upstreams map[string]*policy.Upstream, workload string, names []string) []string {
	refuses := func(name string) bool {
		u := upstreams[name]
		return u != nil && !u.Admits(workload)
	}
	if !slices.ContainsFunc(names, refuses) {
		return names
	}
	return slices.DeleteFunc(slices.Clone(names), refuses)
}

// view names what a proxy gets that listens there: proxies of one view share their resources.
func (c *called) view(listen netip.AddrPort) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %x", listen, c.sum))
	return string(sum[:])
}

// enter has the stream's proxy get what it may by a publication. The caller holds st.mu.
func (st *stream) enter(p *Publication) {
	st.list()
	if st.access == p.access {
		return
	}
	left := st.view
	st.access, st.called = p.access, p.access.of(*st.node)
	if st.view = st.called.view(st.node.Listen); st.view != left {
		st.server.joinView(st.view)
		st.server.leaveView(left)
	}
}

// Admit makes reports count, from now on, only for upstreams that p lets their workload call. An identity
// that has no configuration stream keeps what it had for up to a minute. [Server.Publish] does that too;
// whoever makes the breakers of a policy before calls this first, so that nobody else reports on them meanwhile.
func (s *Server) Admit(p *Publication) {
	s.admits.Store(p.access)
	s.list()
}

// list says what all proxies may report on.
func (s *Server) list() {
	for _, st := range s.all() { // they may be stuck in sending
		st.mu.Lock()
		if st.node != nil {
			st.list()
		}
		st.mu.Unlock()
	}
}

// list says what the stream's proxy may report on. The caller holds st.mu.
func (st *stream) list() {
	a := st.server.admits.Load()
	if a == nil || a == st.listedBy {
		return
	}
	c := a.of(*st.node)
	if st.listedBy == nil || c.sum != st.listed.sum {
		st.listing.Set(c.names == nil, c.reached)
	}
	st.listedBy, st.listed = a, c
}

// exit is called when the stream has ended.
func (st *stream) exit() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.server.leaveView(st.view)
	st.listing.Close()
	st.node, st.listing = nil, nil // whoever publishes leaves it alone
}
