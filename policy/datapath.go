package policy

import (
	"fmt"
	"slices"

	"breakwater.dev/outlier"
)

// checkDataPath reports settings that the data path cannot follow.
func (fs *findings) checkDataPath(u *upstreamDoc, s *settings) {
	if u.Protocol == TCP {
		fs.checkConnections(s)
		return
	}
	if s.failOpen || s.dataPath != Adaptive {
		return
	}
	const why = ": in Adaptive the proxy asks nobody, so calls pass while the control plane does not answer"
	if at, ok := s.places.blame("spec.dataPath", "spec.failOpen"); ok && at.rank > s.places["spec.failOpen"].rank {
		fs.fail(at, "Inline, as failOpen is false"+why, "contradiction")
		return
	}
	fs.fail(s.places.at("spec.failOpen", "true"), "true, or beside dataPath: Inline"+why, "contradiction")
}

// checkConnections reports settings that have no meaning for connections of protocol TCP. A policy for the
// whole mesh may have them: it is also for other protocols.
func (fs *findings) checkConnections(s *settings) {
	refuse := func(path, want string) {
		if at, ok := s.places[path]; ok && !s.meshWide(at) {
			fs.fail(at, want, "not-for-tcp")
		}
	}
	if s.dataPath == Inline {
		refuse("spec.dataPath", "Adaptive: of a connection of protocol TCP nobody can be asked")
	}
	refuse("spec.classify", "left out: a connection of protocol TCP has no status")
	refuse("spec.fallback", "left out: a connection of protocol TCP is closed, there is no other answer")
	refuse("spec.failOpen", "left out: while the control plane does not answer, connections of protocol TCP pass")
	if s.headers > 0 {
		refuse(headersPath, "left out: a connection of protocol TCP has no headers")
	}
	if s.idle > 0 {
		refuse(idlePath, "left out: a connection of protocol TCP may be idle for as long as its two ends want")
	}
	const neverSlow = ": a connection of protocol TCP is never slow, since the proxy does not log how long connecting took"
	if s.breaker.SlowCallDurationThreshold > 0 {
		refuse(slowDurationPath, "left out"+neverSlow)
	}
	if s.breaker.SlowCallRateThreshold > 0 {
		refuse(slowRatePath, "left out"+neverSlow)
	}
	if s.breaker.RampDuration > 0 {
		refuse("spec.breaker.ramp", "left out: connections of protocol TCP are let through up to a number, and not by shares")
	}
}

// meshWide reports whether a value was written in a policy for the whole mesh.
func (s *settings) meshWide(p place) bool {
	l := s.layers[len(s.layers)-p.rank]
	return slices.ContainsFunc(l.targets, func(t target) bool { return t.kind == kindMesh })
}

// proxyOnly are the fields of outlier detection that only a proxy can follow.
var proxyOnly = []string{"successfulActiveHealthCheckUnejectsEndpoint", "detectDegradedEndpoints"}

// checkMeshEjections reports outlier detection with scope Mesh where it cannot work. It needs the outcomes
// that proxies log, and endpoints that are the same for all proxies.
func (fs *findings) checkMeshEjections(u *upstreamDoc, s *settings, breakers []*Breaker) {
	if u.Outlier == nil || u.Outlier.Scope != outlier.Mesh {
		return
	}
	const path = outlierPath + ".scope"
	at := s.places.at(path, string(outlier.Mesh))
	if u.DNS != nil {
		fs.fail(at, fmt.Sprintf("Node: each proxy resolves the name of upstream %s for itself", u.Name), "contradiction")
	}
	for _, b := range breakers {
		if b.DataPath != Adaptive || !b.Enabled() {
			fs.fail(at, fmt.Sprintf("Node, or every breaker of upstream %s in dataPath Adaptive and not Disabled: it judges by what proxies log", u.Name), "contradiction")
			break
		}
	}
	for _, field := range proxyOnly {
		if at, ok := s.places[outlierPath+"."+field]; ok && at.rank >= s.places[path].rank {
			fs.fail(at, "left out: with scope Mesh only proxies could know, and they do not judge", "no-effect")
		}
	}
}
