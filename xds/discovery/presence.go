package discovery

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"time"

	grpcpeer "google.golang.org/grpc/peer"

	"breakwater.dev/internal/guard"
)

// Two proxies with one id share gates, permits, counts and a place on every page, and each of
// them alone obeys the limits that are meant for one. Nobody notices but here.
//
// One proxy may have two streams for its resources, for a while: it has connected again, and
// the end of its old connection was not noticed; or it restarts hot, and the process before still drains.
const (
	// reconnecting is longer than a connection lives whose other end is gone (internal/app: keepalive).
	reconnecting = 30 * time.Second
	// restarting is longer than Envoy lets the process before it live (--parent-shutdown-time-s, 900 s).
	restarting = 16 * time.Minute
)

// presence is that of a proxy: it has a stream for its resources.
type presence struct {
	id     string
	peer   *guard.Peer
	host   string // where it connects from; "": not known
	listen netip.AddrPort
	since  time.Time
	// second tells that another proxy with its id was there before it, and is there still.
	second bool
}

// hostOf is where a stream comes from, without the port.
func hostOf(ctx context.Context) string {
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

// enter adds a proxy that has introduced itself.
func (s *Server) enter(p *presence) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.present[p.id] = append(s.present[p.id], p)
}

// leave takes it away again.
func (s *Server) leave(p *presence) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rest := slices.DeleteFunc(s.present[p.id], func(o *presence) bool { return o == p })
	if len(rest) == 0 {
		delete(s.present, p.id)
		return
	}
	s.present[p.id] = rest
	if len(rest) == 1 {
		rest[0].second = false
	}
}

// meet looks for proxies with the id of p that were there before it, and says so if that has lasted too
// long for one proxy. It returns how long to wait before it looks again; 0: it need not.
func (s *Server) meet(p *presence) (again time.Duration) {
	s.mu.Lock()
	known, other := false, (*presence)(nil)
	lasted := s.options.Now().Sub(p.since)
	for _, o := range s.present[p.id] {
		known = known || o.second
		if o == p || o.since.After(p.since) {
			continue
		}
		allowed := reconnecting
		if o.host == p.host && o.listen == p.listen {
			allowed = restarting
		}
		if lasted < allowed {
			if rest := allowed - lasted; again == 0 || rest < again {
				again = rest
			}
			continue
		}
		other = o
	}
	if other != nil {
		p.second, again = true, 0
	}
	s.mu.Unlock()
	if other != nil && !known {
		s.tell(p.peer, slog.LevelWarn, "two proxies have the same node id, and count as one; give each its own, with --service-node or as node.id in the bootstrap",
			"node", p.id, "from", other.host, "and_from", p.host)
	}
	return again
}

// Duplicates returns the ids, sorted, that two or more connected proxies have.
func (s *Server) Duplicates() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []string
	for id, all := range s.present {
		if slices.ContainsFunc(all, func(p *presence) bool { return p.second }) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}
