package policy

import (
	"time"

	"breakwater.dev/breaker"
)

// leaseMargin is how much longer than its timeout a call may hold a permit: the time
// for the proxy to notice the deadline and to say so.
const leaseMargin = 5 * time.Second

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
	for i := range u.Routes {
		r := &u.Routes[i]
		t := target{kind: kindUpstream, upstream: u.Name, route: r.Name}
		compiled := own
		if c.byTarget[t] != nil {
			compiled = c.compileRoute(u, c.overlay(s, t), r.Name)
		}
		r.Timeout, r.Breaker = compiled.Timeout, compiled.Breaker
	}
	u.Routes = append(u.Routes, own)
	if !s.broken {
		c.checkMeshEjections(u, s)
	}
}

// compileRoute makes the part of an upstream that one breaker is for. A route that
// no policy targets has the breaker of its upstream.
func (c *compiler) compileRoute(u *upstreamDoc, s *settings, route string) Route {
	r := Route{Timeout: s.timeout}
	if len(s.layers) == 0 {
		return r
	}
	if !s.broken {
		c.lintBreaker(s)
		c.checkDataPath(u, s)
	}
	config, path := s.config(), s.dataPath
	if u.Protocol == TCP {
		// Of what is said for the mesh, this has no meaning for connections.
		config.RampDuration, path = 0, Adaptive
	}
	lease := s.timeout + leaseMargin
	if s.timeout == 0 {
		lease = s.breaker.MaxWaitDurationInHalfOpenState
	}
	r.Breaker = &Breaker{
		Spec: breaker.Spec{
			Key:     breaker.Key{Upstream: u.Name, Route: route},
			Config:  config,
			Lease:   lease,
			Timeout: s.timeout,
			PerNode: s.scope == scopeNode,
		},
		DataPath: path,
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
