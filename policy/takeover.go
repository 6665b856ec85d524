package policy

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"breakwater.dev/policy/internal/yamlwalk"
)

// Where policies say who answers in place of an upstream.
const (
	fallbackPath = "spec.fallback.upstream"
	cachedPath   = "spec.fallback.cached"
)

// takeover is one breaker whose calls another upstream is to take over.
type takeover struct {
	from    *upstreamDoc
	to      string
	at      place
	breaker *Breaker
}

// fallsBack notes a breaker whose calls another upstream takes over, and reports a fallback
// that cannot be. Connections have none: what is said for the mesh is not meant for them.
func (c *compiler) fallsBack(u *upstreamDoc, s *settings, b *Breaker) {
	if u.Protocol == TCP {
		return
	}
	if s.fallback.cached != nil && !s.broken {
		c.checkCached(u, s, b.Spec.Key.Route)
	}
	if s.fallback.upstream != "" && !s.broken {
		c.takeovers = append(c.takeovers, takeover{from: u, to: s.fallback.upstream, at: s.places[fallbackPath], breaker: b})
	}
}

// checkCached reports copies of responses that cannot be as they are wanted, or where no call asks for
// any. Calls that ask for none may be those of the mesh.
func (c *compiler) checkCached(u *upstreamDoc, s *settings, route string) {
	at := s.places[cachedPath]
	if u.Protocol != GRPC {
		c.checkCopies(s)
	}
	if s.meshWide(at) {
		return
	}
	if u.Protocol == GRPC {
		c.fail(at, fmt.Sprintf("response or upstream: upstream %s speaks GRPC, whose calls are no GET requests", u.Name), "not-for-grpc")
	}
	for _, r := range u.Routes {
		if m := r.Match.Methods; r.Name == route && len(m) > 0 && !slices.Contains(m, http.MethodGet) {
			c.fail(at, fmt.Sprintf("response or upstream: route %s takes no GET requests, and only their responses are kept", route), "no-effect")
		}
	}
}

// resolveFallbacks finds the upstreams that take over, and reports those that cannot.
func (c *compiler) resolveFallbacks() {
	next := map[string][]string{}
	for _, t := range c.takeovers {
		next[t.from.Name] = append(next[t.from.Name], t.to)
	}
	for _, t := range c.takeovers {
		i := slices.IndexFunc(c.upstreams, func(u *upstreamDoc) bool { return u.Name == t.to })
		if i < 0 {
			if c.complete {
				c.fail(t.at, yamlwalk.Suggest("the name of an Upstream", t.to, c.upstreamNames()), "unknown-target")
			}
			continue
		}
		to := c.upstreams[i]
		if to.broken {
			continue
		}
		host, problem := t.reaches(to)
		ring := ring(next, t.from.Name, t.to)
		switch {
		case t.to == t.from.Name:
			c.fail(t.at, fmt.Sprintf("another upstream: upstream %s cannot take over from itself", t.to), "fallback-ring")
		case ring != nil:
			c.fail(t.at, "an upstream whose own fallbacks do not lead back: "+strings.Join(ring, " -> "), "fallback-ring")
		case problem != "":
			c.fail(t.at, problem, "fallback-mismatch")
		default:
			t.breaker.Fallback.Upstream = &FallbackUpstream{Name: to.Name, Host: host}
		}
	}
}

func (c *compiler) upstreamNames() []string {
	names := make([]string, len(c.upstreams))
	for i, u := range c.upstreams {
		names[i] = u.Name
	}
	return names
}

// reaches returns the host by which calls reach an upstream, or why they cannot.
func (t *takeover) reaches(to *upstreamDoc) (host, problem string) {
	if to.Protocol == TCP || (to.Protocol == GRPC) != (t.from.Protocol == GRPC) {
		return "", fmt.Sprintf("an upstream that understands the calls of upstream %s, whose protocol is %s: that of %s is %s",
			t.from.Name, t.from.Protocol, to.Name, to.Protocol)
	}
	host = to.Authority()
	if host == "" {
		return "", fmt.Sprintf("an upstream with a host that has no *: calls reach upstream %s by one of its hosts", to.Name)
	}
	return host, ""
}

// ring returns the way from an upstream by its fallback back to itself; nil: there is none.
func ring(next map[string][]string, from, to string) []string {
	seen := map[string]bool{}
	var walk func(at string, way []string) []string
	walk = func(at string, way []string) []string {
		way = append(way, at)
		if at == from {
			return way
		}
		if seen[at] {
			return nil
		}
		seen[at] = true
		for _, n := range next[at] {
			if found := walk(n, way); found != nil {
				return found
			}
		}
		return nil
	}
	return walk(to, []string{from})
}
