package presence

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"time"

	grpcpeer "google.golang.org/grpc/peer"

	"breakwater.dev/internal/lockorder"
)

// One proxy may have two streams for its resources for a while: it has connected again, and the end of its old connection
// was not noticed; or it restarts hot, and its old process still drains.
const (
	// Reconnecting is longer than the life of a connection whose other end is gone (internal/app: keepalive).
	Reconnecting = 30 * time.Second
	// Restarting is longer than a new Envoy process lets the old one run (--parent-shutdown-time-s, 900 s).
	Restarting = 16 * time.Minute
)

// Proxy is a proxy that has a stream for its resources.
type Proxy struct {
	ID     string
	Host   string // where it connects from; empty: not known
	Listen netip.AddrPort
	Since  time.Time // when its stream began

	second bool // another proxy with its id was there before it, and is still there; guarded by the registry
}

// HostOf returns where a stream comes from, without the port; empty: it is not known.
func HostOf(ctx context.Context) string {
	p, ok := grpcpeer.FromContext(ctx)
	if !ok {
		return ""
	}
	host, _, err := net.SplitHostPort(p.Addr.String())
	if err != nil {
		return p.Addr.String()
	}
	return host
}

// Registry knows which proxies are there. Its zero value is empty.
type Registry struct {
	mu      lockorder.Mutex[lockorder.DiscoveryLeaf]
	proxies map[string][]*Proxy // by id
}

// Enter adds a proxy. The caller must not change it afterwards.
func (r *Registry) Enter(p *Proxy) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.proxies == nil {
		r.proxies = map[string][]*Proxy{}
	}
	r.proxies[p.ID] = append(r.proxies[p.ID], p)
}

// Leave removes a proxy.
func (r *Registry) Leave(p *Proxy) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rest := slices.DeleteFunc(r.proxies[p.ID], func(o *Proxy) bool { return o == p })
	if len(rest) == 0 {
		delete(r.proxies, p.ID)
		return
	}
	r.proxies[p.ID] = rest
	if len(rest) == 1 {
		rest[0].second = false
	}
}

// Meet looks for another proxy with the id of p that was there before it, and that has stayed too long to be the same
// proxy. It returns that proxy if none was found for the id so far, and after what time to look again; 0: there is no need
// to.
func (r *Registry) Meet(p *Proxy, now time.Time) (found *Proxy, again time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, lasted := false, now.Sub(p.Since)
	for _, o := range r.proxies[p.ID] {
		known = known || o.second
		if o == p || o.Since.After(p.Since) {
			continue
		}
		allowed := Reconnecting
		if o.Host == p.Host && o.Listen == p.Listen {
			allowed = Restarting
		}
		if lasted < allowed {
			if rest := allowed - lasted; again == 0 || rest < again {
				again = rest
			}
			continue
		}
		found = o
	}
	if found == nil {
		return nil, again
	}
	p.second = true
	if known {
		return nil, 0
	}
	return found, 0
}

// Duplicates returns the ids, sorted, that two or more proxies have.
func (r *Registry) Duplicates() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var ids []string
	for id, all := range r.proxies {
		if slices.ContainsFunc(all, func(p *Proxy) bool { return p.second }) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}
