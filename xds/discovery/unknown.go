package discovery

import (
	"log/slog"
	"sync"

	"breakwater.dev/internal/untrusted"
	"breakwater.dev/policy"
)

// maxUnknownTold bounds what is remembered as logged; beyond it, all may be logged anew.
const maxUnknownTold = 10_000

// unknownUpstreams remembers which upstreams that proxies list and the policy does not
// have are in the log: each once for a proxy, until the policy has it.
type unknownUpstreams struct {
	mu   sync.Mutex
	told map[listed]bool
}

type listed struct{ node, upstream string }

func namesIn(set *policy.Set) map[string]bool {
	names := make(map[string]bool, len(set.Upstreams))
	for _, u := range set.Upstreams {
		names[u.Name] = true
	}
	return names
}

// unknown returns the upstreams that a node lists and the policy does not have, sorted.
func (p *Publication) unknown(n Node) []string {
	var names []string
	for _, name := range n.Upstreams {
		if !p.names[name] {
			names = append(names, name)
		}
	}
	return names
}

// news returns those of the unknown upstreams that are not in the log yet.
func (u *unknownUpstreams) news(n Node, p *Publication) []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.told == nil || len(u.told) > maxUnknownTold {
		u.told = map[listed]bool{}
	}
	var news []string
	for _, name := range n.Upstreams {
		l := listed{node: n.ID, upstream: name}
		switch {
		case p.names[name]:
			delete(u.told, l)
		case !u.told[l]:
			u.told[l] = true
			news = append(news, name)
		}
	}
	return news
}

// lookForUnknown logs what the proxy lists and the publication does not have. Its
// callers get 404 for that, and would look for the mistake elsewhere.
func (st *stream) lookForUnknown() {
	p := st.server.current.Load()
	if st.looked == p || len(st.node.Upstreams) == 0 {
		return
	}
	st.looked = p
	news := st.server.unknown.news(*st.node, p)
	if len(news) == 0 {
		return
	}
	st.server.tell(st.peer, slog.LevelWarn, "proxy lists upstreams that the policy does not have; they come to it when the policy has them",
		"node", untrusted.Name(st.node.ID), "cluster", untrusted.Name(st.node.Cluster), "upstreams", untrusted.Names(news), "count", len(news))
}
