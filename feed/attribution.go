package feed

import (
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/outlier"
	"breakwater.dev/policy"
	"breakwater.dev/wire"
)

// way is which of a breaker's routes a call took.
type way uint8

const (
	marked  way = iota // it went through, and is logged whatever came of it
	closed             // it went through, and failed or was slow, or another policy wants to know
	counted            // the proxy rejected it; one of so many is logged
	onward             // the control plane rejected it, and the proxy saw to the fallback
	asked              // the control plane let it through, and knows what was known at its headers
)

// suffixes end the names of routes whose calls count; package xds gives routes their
// names.
var suffixes = map[way]string{marked: "~sampled", closed: "~closed", counted: "~counted", onward: "~rejected", asked: "~probe"}

// attribution says whose calls a route's are; immutable.
type attribution struct {
	key      breaker.Key
	way      way
	breaker  *breaker.Breaker
	nodes    *breaker.Engine // has a breaker of the key for each proxy; nil where they share one
	rules    wire.Rules
	slow     time.Duration // 0: no call is
	cached   bool          // proxies keep copies of responses, to answer rejected calls with
	upstream string        // whose endpoints the mesh judges; empty: it does not

	explained *explained // one for all routes of the breaker
}

// table finds attributions, of HTTP by the name of the route, of TCP by that of the upstream.
type table struct{ routes, upstreams map[string]*attribution }

func newTable(set *policy.Set, engine *breaker.Engine) *table {
	t := &table{routes: map[string]*attribution{}, upstreams: map[string]*attribution{}}
	for _, u := range set.Upstreams {
		judged := ""
		if u.Outlier != nil && u.Outlier.Scope == outlier.Mesh {
			judged = u.Name
		}
		for _, r := range u.Routes {
			b := r.Breaker
			if b == nil || b.Spec.Config.Mode == breaker.Disabled {
				continue
			}
			a := attribution{
				key: b.Spec.Key, breaker: engine.Breaker(b.Spec.Key),
				slow: b.Spec.Config.SlowCallDurationThreshold, upstream: judged, explained: new(explained),
				rules: wire.Rules{
					Classify: b.Classify, GRPC: u.Protocol == policy.GRPC, ClientGone: b.Spec.ClientGone,
					Timeout: r.Timeout,
				},
			}
			a.cached = b.Fallback.Cached != nil
			if b.Spec.PerNode {
				a.nodes = engine
			}
			if u.Protocol == policy.TCP {
				t.upstreams[u.Name] = &a
				continue
			}
			name := breaker.Key{Upstream: u.Name, Route: r.Name}.String()
			for way, suffix := range suffixes {
				if b.DataPath != policy.Adaptive {
					if way != onward && way != asked {
						continue
					}
					if way == asked {
						suffix = "" // all calls take this route
					}
				}
				of := a
				of.way = way
				t.routes[name+suffix] = &of
			}
		}
	}
	return t
}

// certain tells whether a call is logged whatever route it took, and so stands for itself; of
// the others a sample is.
func (a *attribution) certain(o breaker.Outcome, took time.Duration) bool {
	return o.Failed() || o != breaker.Ignored && a.slow > 0 && took >= a.slow
}

// attempt is how long after its beginning a connection is made or has failed, and is told of, at the latest.
func (a *attribution) attempt() time.Duration { return a.rules.Timeout + mostHeldBack }

// breakerFor returns the breaker of a proxy, which is of the identity owner.
func (a *attribution) breakerFor(node, owner string, now breaker.Instant) *breaker.Breaker {
	if a.nodes != nil {
		if b := a.nodes.NodeOf(a.key, node, owner, now); b != nil {
			return b
		}
	}
	return a.breaker
}
