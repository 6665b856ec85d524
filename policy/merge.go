package policy

import "breakwater.dev/breaker"

// merger lays the policies of one upstream over one another. The outcome depends on its fields alone, and on the
// upstream's document.
type merger struct {
	*outcome
	each       bool      // every object counts by itself
	base, mesh *settings // the defaults, and the policy for the mesh over them
}

// compile lays the policies over one another, from the mesh's to each route's, and judges the result.
func (m *merger) compile(doc *upstreamDoc) {
	u := doc.copied()
	judge := func(s *settings) {
		u.take(s)
		if !s.broken && len(s.layers) > 0 {
			m.lintUpstream(u, s)
		}
		m.judgeRoute(u, s, "")
	}
	s := m.lay(m.base, judge, m.layers[0], m.layers[1])
	u.take(s)
	own := m.compileRoute(u, s, "")
	var judged []*Breaker
	compiled := func(s *settings, r Route) {
		m.applied = append(m.applied, s.layers...)
		if r.Breaker != nil {
			m.noteCopies(r.Breaker)
		}
		if !s.broken && r.Breaker != nil {
			judged = append(judged, r.Breaker)
			m.linkFallback(u, s, r.Breaker)
		}
	}
	compiled(s, own)
	for i := range u.Routes {
		r := &u.Routes[i]
		route := own
		judge := func(s *settings) { m.judgeRoute(u, s, r.Name) }
		if special := m.lay(s, judge, m.layers[2+i]); special != s {
			route = m.compileRoute(u, special, r.Name)
			compiled(special, route)
		}
		route.Name, route.Match = r.Name, r.Match
		*r = route
	}
	u.Routes = append(u.Routes, own)
	if !s.broken {
		m.checkMeshEjections(u, s, breakersOf(u.Routes))
		m.checkEjectionTime(u, s, judged)
	}
	m.plain = u.Upstream
}

// copied returns a copy of the document that can be compiled: the upstream itself is changed then.
func (u *upstreamDoc) copied() *upstreamDoc {
	doc, upstream := *u, *u.Upstream
	upstream.Routes = append(make([]Route, 0, len(u.Routes)+1), u.Routes...)
	doc.Upstream = &upstream
	return &doc
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

// lay lays policies over s, the less specific first, and has the result judged. A policy may be nil. It returns
// s itself where there is no policy.
//
// Where each object counts by itself, a policy is left out if it contradicts the ones before, and judge
// does nothing but report. Its reports are then problems of the policy that is left out, wherever their
// places are.
func (m *merger) lay(s *settings, judge func(*settings), layers ...*layer) *settings {
	all := s
	for _, l := range layers {
		all = m.overlay(all, l)
	}
	if all == s {
		return s
	}
	if !m.each {
		judge(all)
		return all
	}
	if len(m.try(judge, all)) == 0 {
		return all
	}
	fitting := s
	for _, l := range layers {
		if l == nil {
			continue
		}
		next := m.overlay(fitting, l)
		problems := m.try(judge, next)
		if len(problems) == 0 {
			fitting = next
		}
		for _, d := range problems {
			m.add(l.from, d)
		}
	}
	return fitting
}

// try returns what judge reports, and keeps nothing of it.
func (m *merger) try(judge func(*settings), s *settings) []Diagnostic {
	var problems []Diagnostic
	m.trial = &problems
	judge(s)
	m.trial = nil
	return problems
}

// overlay lays a policy over s, if there is one.
func (m *merger) overlay(s *settings, l *layer) *settings {
	switch {
	case l == nil:
		return s
	case s == m.base && l == m.layers[0]:
		return m.mesh
	}
	return l.over(s)
}

// judgeRoute reports what is wrong with the settings of a route, or of an upstream where route is empty.
func (m *merger) judgeRoute(u *upstreamDoc, s *settings, route string) {
	if s.broken || len(s.layers) == 0 {
		return
	}
	m.checkDataPath(u, s)
	upstream := s
	if u.Protocol == TCP {
		s = s.forConnections()
	}
	m.lintBreaker(s)
	m.checkCached(u, s, route)
	if m.each {
		b := []*Breaker{m.compileRoute(u, upstream, route).Breaker}
		m.checkMeshEjections(u, upstream, b)
		m.checkEjectionTime(u, upstream, b)
	}
}

// compileRoute makes the part of an upstream that one breaker is for. A route that no policy targets has
// the breaker of its upstream.
func (m *merger) compileRoute(u *upstreamDoc, s *settings, route string) Route {
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
		Classify: s.outcomes,
		Fallback: s.resolvedFallback(u),
		FailOpen: s.failOpen,
	}
	for _, l := range s.layers {
		r.Breaker.Origins = append(r.Breaker.Origins, l.from.at)
	}
	return r
}
