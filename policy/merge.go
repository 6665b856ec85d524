package policy

import (
	"breakwater.dev/breaker"
	"breakwater.dev/policy/internal/yamlwalk"
)

// compileUpstream lays the policies over one another, from the mesh's to each route's, and judges the
// result.
func (c *compiler) compileUpstream(u *upstreamDoc) {
	judge := func(s *settings) {
		u.take(s)
		if !s.broken && len(s.layers) > 0 {
			c.lintUpstream(u, s)
		}
		c.judgeRoute(u, s, "")
	}
	s := c.lay(c.base, judge, target{kind: kindMesh}, target{kind: KindUpstream, upstream: u.Name})
	u.take(s)
	own := c.compileRoute(u, s, "")
	var judged []*Breaker
	compiled := func(s *settings, r Route) {
		for _, l := range s.layers {
			c.applied[l.from] = true
		}
		if !s.broken && r.Breaker != nil {
			judged = append(judged, r.Breaker)
			c.linkFallback(u, s, r.Breaker)
		}
	}
	compiled(s, own)
	for i := range u.Routes {
		r := &u.Routes[i]
		route := own
		judge := func(s *settings) { c.judgeRoute(u, s, r.Name) }
		if special := c.lay(s, judge, target{kind: KindUpstream, upstream: u.Name, route: r.Name}); special != s {
			route = c.compileRoute(u, special, r.Name)
			compiled(special, route)
		}
		route.Name, route.Match = r.Name, r.Match
		*r = route
	}
	u.Routes = append(u.Routes, own)
	if !s.broken {
		c.checkMeshEjections(u, s, breakersOf(u.Routes))
		c.checkEjectionTime(u, s, judged)
	}
}

// breakersOf returns the breakers of routes, each as often as routes have it.
func breakersOf(routes []Route) []*Breaker {
	var all []*Breaker
	for _, r := range routes {
		if r.Breaker != nil {
			all = append(all, r.Breaker)
		}
	}
	return all
}

// take gives an upstream what settings say about it as a whole.
func (u *upstreamDoc) take(s *settings) {
	u.Limits, u.Outlier = s.resolvedLimits(), s.resolvedOutlier()
}

// lay lays the policies of targets over s, the less specific first, and has the result judged. It returns
// s itself where there is no policy.
//
// Where each object counts by itself, a policy is left out if it contradicts the ones before, and judge
// does nothing but report. Its reports are then problems of the policy that is left out, wherever their
// places are.
func (c *compiler) lay(s *settings, judge func(*settings), targets ...target) *settings {
	all := s
	for _, t := range targets {
		all = c.overlay(all, t)
	}
	if all == s {
		return s
	}
	if !c.each {
		judge(all)
		return all
	}
	if len(c.try(judge, all)) == 0 {
		return all
	}
	fitting := s
	for _, t := range targets {
		l := c.byTarget[t]
		if l == nil {
			continue
		}
		next := c.overlay(fitting, t)
		problems := c.try(judge, next)
		if len(problems) == 0 {
			fitting = next
		}
		for _, d := range problems {
			c.add(l.from, d)
		}
	}
	return fitting
}

// try returns what judge reports, and keeps nothing of it.
func (c *compiler) try(judge func(*settings), s *settings) []Diagnostic {
	var problems []Diagnostic
	c.trial = &problems
	judge(s)
	c.trial = nil
	return problems
}

// overlay lays the policy of a target over s, if there is one.
func (c *compiler) overlay(s *settings, t target) *settings {
	l := c.byTarget[t]
	switch {
	case l == nil:
		return s
	case t.kind == kindMesh && c.mesh != nil && s == c.base:
		return c.mesh
	}
	s = s.clone()
	l.apply(s, func(yamlwalk.Problem) {}) // problems were reported when the policy was read
	return s
}

// judgeRoute reports what is wrong with the settings of a route, or of an upstream where route is empty.
func (c *compiler) judgeRoute(u *upstreamDoc, s *settings, route string) {
	if s.broken || len(s.layers) == 0 {
		return
	}
	c.checkDataPath(u, s)
	upstream := s
	if u.Protocol == TCP {
		s = s.forConnections()
	}
	c.lintBreaker(s)
	c.checkCached(u, s, route)
	if c.each {
		b := []*Breaker{c.compileRoute(u, upstream, route).Breaker}
		c.checkMeshEjections(u, upstream, b)
		c.checkEjectionTime(u, upstream, b)
	}
}

// compileRoute makes the part of an upstream that one breaker is for. A route that no policy targets has
// the breaker of its upstream.
func (c *compiler) compileRoute(u *upstreamDoc, s *settings, route string) Route {
	if len(s.layers) == 0 {
		return Route{Timeout: s.timeout}
	}
	if u.Protocol == TCP {
		s = s.forConnections()
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
	for _, l := range s.layers {
		r.Breaker.Origins = append(r.Breaker.Origins, l.from.at)
	}
	return r
}
