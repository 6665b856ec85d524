package feed

import (
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/outlier"
	"breakwater.dev/policy"
	"breakwater.dev/wire"
)

// target is the breaker that a log entry is about. It is immutable.
type target struct {
	key      breaker.Key
	adaptive bool // the breaker's data path is Adaptive, not Inline
	breaker  *breaker.Breaker
	nodes    *breaker.Engine // has a breaker of the key for each proxy; nil if all proxies share one
	rules    wire.Rules
	slow     time.Duration // from which a call is slow; 0: no call is
	cached   bool          // proxies keep copies of responses, to answer rejected calls with
	upstream string        // whose endpoints are judged for the whole mesh; empty: they are not

	explained *explained // one for all routes of the breaker
}

// table finds targets: those of HTTP by the name of the route without its kind, those of TCP by the name of the upstream.
type table struct{ routes, upstreams map[string]*target }

func newTable(set *policy.Set, engine *breaker.Engine) *table {
	t := &table{routes: map[string]*target{}, upstreams: map[string]*target{}}
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
			to := &target{
				key: b.Spec.Key, adaptive: b.DataPath == policy.Adaptive, breaker: engine.Breaker(b.Spec.Key),
				slow: b.Spec.Config.SlowCallDurationThreshold, cached: b.Fallback.Cached != nil, upstream: judged, explained: new(explained),
				rules: wire.Rules{
					Classify: b.Classify, GRPC: u.Protocol == policy.GRPC, ClientGone: b.Spec.ClientGone,
					Timeout: r.Timeout,
				},
			}
			if b.Spec.PerNode {
				to.nodes = engine
			}
			if u.Protocol == policy.TCP {
				t.upstreams[u.Name] = to
			} else {
				t.routes[wire.RouteName(breaker.Key{Upstream: u.Name, Route: r.Name}, wire.RouteWhole)] = to
			}
		}
	}
	return t
}

// route returns the target of an entry with the name of a route, and the kind of the route. The target is nil where such
// an entry says nothing about a breaker.
func (t *table) route(name []byte) (*target, wire.RouteKind) {
	key, kind, ok := wire.CutRouteName(name)
	if !ok {
		return nil, 0
	}
	if to := t.routes[string(key)]; to != nil && to.logs(kind) {
		return to, kind
	}
	return nil, 0
}

// logs reports whether entries of routes of a kind count for the breaker. A proxy may still have routes of the other data
// path, from before the policy changed.
func (to *target) logs(kind wire.RouteKind) bool {
	switch kind {
	case wire.RouteRejected:
		return true
	case wire.RouteWhole:
		return !to.adaptive
	case wire.RouteCounted, wire.RouteProbe, wire.RouteSampled, wire.RouteClosed:
		return to.adaptive
	default:
		return false
	}
}

// certain reports whether a call with this outcome is logged whatever route it took, so that its entry stands for itself. Of
// the other calls a sample is logged.
func (to *target) certain(o breaker.Outcome, took time.Duration) bool {
	return o.Failed() || o != breaker.Ignored && to.slow > 0 && took >= to.slow
}

// attempt is the longest time from the beginning of a connection until the entry arrives that says whether it was made.
func (to *target) attempt() time.Duration { return to.rules.Timeout + mostHeldBack }

// breakerFor returns the breaker of a proxy, whose owner is the identity in its certificate.
func (to *target) breakerFor(node, owner string, now breaker.Instant) *breaker.Breaker {
	if to.nodes != nil {
		if b := to.nodes.NodeOf(to.key, node, owner, now); b != nil {
			return b
		}
	}
	return to.breaker
}
