package discovery

import (
	"log/slog"
	"slices"
	"sync"

	"breakwater.dev/internal/untrusted"
	"breakwater.dev/xds"
)

// maxUnknownTold bounds what is remembered as logged; beyond it, all may be logged anew.
const maxUnknownTold = 10_000

// unknownUpstreams remembers which upstreams that proxies list in vain are in the log: each once
// for a proxy, until it gets it.
type unknownUpstreams struct {
	mu   sync.Mutex
	told map[listed]bool
}

type listed struct {
	node, upstream string
	forbidden      bool // else unknown
}

// vain returns the upstreams, sorted, that a node lists and the policy does not have, and those
// that it has and does not let the node's workload call.
func (p *Publication) vain(n Node) (unknown, forbidden []string) {
	for _, name := range n.Upstreams {
		switch u := p.upstreams[name]; {
		case u == nil:
			unknown = append(unknown, name)
		case !u.Admits(n.Cluster):
			forbidden = append(forbidden, name)
		}
	}
	if len(forbidden) == 0 {
		return unknown, nil
	}
	gets := map[string]bool{} // since it takes over
	for _, name := range xds.Reached(p.upstreams, admitted(p.upstreams, n.Cluster, n.Upstreams)) {
		gets[name] = true
	}
	return unknown, slices.DeleteFunc(forbidden, func(name string) bool { return gets[name] })
}

// news returns those of what a node lists in vain that are not in the log yet.
func (u *unknownUpstreams) news(n Node, p *Publication) (unknown, forbidden []string) {
	unknown, forbidden = p.vain(n)
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.told == nil {
		u.told = map[listed]bool{}
	}
	fresh := func(vain []string, isForbidden bool) (news []string) {
		for _, name := range n.Upstreams {
			l := listed{n.ID, name, isForbidden}
			switch _, isVain := slices.BinarySearch(vain, name); {
			case !isVain:
				delete(u.told, l)
			case !u.told[l]:
				if len(u.told) >= maxUnknownTold {
					clear(u.told)
				}
				u.told[l] = true
				news = append(news, name)
			}
		}
		return news
	}
	return fresh(unknown, false), fresh(forbidden, true)
}

// lookForUnknown logs what the proxy lists and does not get. Its callers get 404 for
// that, and would look for the mistake elsewhere.
func (st *stream) lookForUnknown() {
	p := st.server.current.Load()
	if st.looked == p || len(st.node.Upstreams) == 0 {
		return
	}
	st.looked = p
	unknown, forbidden := st.server.unknown.news(*st.node, p)
	tell := func(message string, names []string) {
		if len(names) > 0 {
			st.server.tell(st.peer, slog.LevelWarn, message,
				"node", untrusted.Name(st.node.ID), "cluster", untrusted.Name(st.node.Cluster), "upstreams", untrusted.Names(names), "count", len(names))
		}
	}
	tell("proxy lists upstreams that the policy does not have; they come to it when the policy has them", unknown)
	tell("proxy lists upstreams that its workload may not call; they come to it when their callers name the workload", forbidden)
}
