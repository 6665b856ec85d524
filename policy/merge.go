package policy

import "breakwater.dev/breaker"

// compileUpstream lays the policies over one another, from the mesh's to that of
// each route, and judges the result.
func (c *compiler) compileUpstream(u *upstreamDoc, mesh *settings) {
	s := c.overlay(mesh, target{kind: kindUpstream, upstream: u.Name})
	u.Limits = s.resolvedLimits()
	u.Outlier = s.resolvedOutlier()
	if !s.broken {
		c.lintUpstream(u, s)
	}
	own := c.compileRoute(u, s, "")
	var breakers []*Breaker // those that are judged
	judge := func(s *settings, r Route) {
		if !s.broken && r.Breaker != nil {
			breakers = append(breakers, r.Breaker)
		}
	}
	judge(s, own)
	for i := range u.Routes {
		r := &u.Routes[i]
		t := target{kind: kindUpstream, upstream: u.Name, route: r.Name}
		compiled := own
		if c.byTarget[t] != nil {
			special := c.overlay(s, t)
			compiled = c.compileRoute(u, special, r.Name)
			judge(special, compiled)
		}
		compiled.Name, compiled.Match = r.Name, r.Match
		*r = compiled
	}
	u.Routes = append(u.Routes, own)
	if !s.broken {
		c.checkMeshEjections(u, s)
		c.checkEjectionTime(u, s, breakers)
	}
}

// compileRoute makes the part of an upstream that one breaker is for. A route that
// no policy targets has the breaker of its upstream.
func (c *compiler) compileRoute(u *upstreamDoc, s *settings, route string) Route {
	if len(s.layers) == 0 {
		return Route{Timeout: s.timeout}
	}
	if !s.broken {
		c.checkDataPath(u, s)
	}
	if u.Protocol == TCP {
		s = s.forConnections()
	}
	if !s.broken {
		c.lintBreaker(s)
	}
	r := Route{Timeout: s.timeout, ResponseHeaderTimeout: s.headerTimeout(), IdleTimeout: s.idle}
	r.Breaker = &Breaker{
		Spec: breaker.Spec{
			Key:        breaker.Key{Upstream: u.Name, Route: route},
			Config:     s.config(),
			Lease:      s.lease(),
			Timeout:    s.timeout,
			ClientGone: s.gone,
			PerNode:    s.scope == scopeNode,
		},
		DataPath: s.dataPath,
		Classify: s.classifier(),
		Fallback: s.resolvedFallback(u),
		FailOpen: s.failOpen,
	}
	c.fallsBack(u, s, r.Breaker)
	for _, l := range s.layers {
		r.Breaker.Origins = append(r.Breaker.Origins, l.origin)
	}
	return r
}
