package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"breakwater.dev/wire"
)

// claim is something that only one object can have.
type claim struct{ what, key string }

// claims are the objects' claims, by what and key, with the place where each was made first.
type claims map[string]map[string]*place

// claim makes a claim, or reports that another object has made it before. It returns whether the claim
// is new.
func (fs *findings) claim(claims claims, key claim, at *place, rule string) bool {
	if first, twice := claims[key.what][key.key]; twice {
		fs.fail(*at, fmt.Sprintf("unique; the first is at %s", first), rule)
		return false
	}
	if claims[key.what] == nil {
		claims[key.what] = map[string]*place{}
	}
	claims[key.what][key.key] = at
	return true
}

// clear drops all claims, and keeps their room.
func (cs claims) clear() {
	for _, keys := range cs {
		clear(keys)
	}
}

// checkUpstreams reports names, hosts, ports and routes that are in conflict. Where each object counts by
// itself, an upstream in conflict is dropped and claims nothing.
func (c *compilation) checkUpstreams() {
	kept := c.upstreams[:0]
	for _, r := range c.upstreams {
		u := r.upstream
		if u.Name == "" {
			kept = append(kept, r) // a problem of it is reported already
			continue
		}
		before := c.reports
		made := c.checkUpstream(u)
		if c.each && c.reports > before {
			for _, key := range made {
				delete(c.claims[key.what], key.key)
			}
			continue
		}
		kept = append(kept, r)
	}
	c.upstreams = kept
}

// checkUpstream checks one upstream against those before. Where each object counts by itself, it
// returns the claims that are new.
func (c *compilation) checkUpstream(u *upstreamDoc) (made []claim) {
	add := func(what, key string, at *place) bool {
		claimed := claim{what, key}
		isNew := c.claim(c.claims, claimed, at, "duplicate-"+what)
		if isNew && c.each {
			made = append(made, claimed)
		}
		return isNew
	}
	if u.Name == wire.ControlPlaneCluster {
		c.fail(u.nameAt, "another name: it is the control plane's own", "reserved-name")
	}
	if !add("name", u.Name, &u.nameAt) {
		return made
	}
	for i, h := range u.written {
		add("host", h, &u.hostsAt[i])
	}
	if at, has := u.places["spec.port"]; has && u.Protocol == TCP {
		add("port", strconv.Itoa(int(u.Port)), &at)
	}
	c.take(&u.conflict)
	return made
}

// checkRoutes finds routes in conflict with one another. They are reported if the upstream's name is its own.
func (u *upstreamDoc) checkRoutes() {
	routes := claims{}
	for i, r := range u.Routes {
		if r.Name != "" {
			u.conflict.claim(routes, claim{"route", r.Name}, &u.routesAt[i], "duplicate-name")
		}
	}
	if !u.broken {
		u.checkReach()
	}
}

// checkReach finds routes that get no request, because an earlier route takes all of them.
func (u *upstreamDoc) checkReach() {
	for i, later := range u.Routes {
		for _, earlier := range u.Routes[:i] {
			if takes(earlier.Match, later.Match) {
				u.conflict.fail(u.routesAt[i], fmt.Sprintf("before %s, which takes all of its requests", earlier.Name), "unreachable-route")
				break
			}
		}
	}
}

// takes reports whether a matches every request that b matches. A prefix ends at the end of a path segment,
// unless it ends in a slash.
func takes(a, b Match) bool {
	if len(a.Methods) > 0 && (len(b.Methods) == 0 || slices.ContainsFunc(b.Methods, func(m string) bool { return !slices.Contains(a.Methods, m) })) {
		return false
	}
	switch at := cmp.Or(b.Path, b.PathPrefix, "/"); {
	case a.Path != "":
		return a.Path == b.Path
	case a.PathPrefix != "":
		return at == a.PathPrefix || strings.HasPrefix(at, strings.TrimSuffix(a.PathPrefix, "/")+"/")
	}
	return true
}
