package discovery

import (
	"log/slog"
	"slices"

	"breakwater.dev/internal/lockorder"
	"breakwater.dev/internal/untrusted"
	"breakwater.dev/xds/discovery/internal/publication"
)

// maxDeniedLogged is how many upstreams are remembered as logged. Beyond it, all of them are
// forgotten, and may be logged again.
const maxDeniedLogged = 10_000

// deniedUpstreams remembers the upstreams that proxies list and do not get, and that are in the log already: each once for
// a proxy, until it gets the upstream. The zero value remembers none.
type deniedUpstreams struct {
	mu     lockorder.Mutex[lockorder.DiscoveryLeaf]
	logged map[listed]bool
}

// listed is an upstream that a proxy lists and does not get.
type listed struct {
	node, upstream string
	forbidden      bool // else unknown
}

// news returns the upstreams that a proxy lists and does not get by a publication, and that are not in the log yet.
func (u *deniedUpstreams) news(n Node, p *Publication) (unknown, forbidden []string) {
	unknown, forbidden = p.Denied(n)
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.logged == nil {
		u.logged = map[listed]bool{}
	}
	fresh := func(denied []string, isForbidden bool) (news []string) {
		for _, name := range n.Upstreams {
			l := listed{n.ID, name, isForbidden}
			switch _, isDenied := slices.BinarySearch(denied, name); {
			case !isDenied:
				delete(u.logged, l)
			case !u.logged[l]:
				if len(u.logged) >= maxDeniedLogged {
					clear(u.logged)
				}
				u.logged[l] = true
				news = append(news, name)
			}
		}
		return news
	}
	return fresh(unknown, false), fresh(forbidden, true)
}

// lookForDenied logs the upstreams that the proxy lists and does not get. Its application gets 404 from them, and its
// operator would look for the mistake elsewhere. The caller holds st.mu.
func (st *stream) lookForDenied(p *Publication, c *publication.Content) {
	if st.looked == c || len(st.node.Upstreams) == 0 {
		return
	}
	st.looked = c
	unknown, forbidden := st.server.denied.news(*st.node, p)
	tell := func(message string, names []string) {
		if len(names) > 0 {
			st.server.tell(st.peer, slog.LevelWarn, message,
				"node", untrusted.Name(st.node.ID), "cluster", untrusted.Name(st.node.Cluster), "upstreams", untrusted.Names(names), "count", len(names))
		}
	}
	tell("proxy lists upstreams that the policy does not have; they come to it when the policy has them", unknown)
	tell("proxy lists upstreams that its workload may not call; they come to it when their callers name the workload", forbidden)
}
