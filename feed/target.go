package feed

import (
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/feed/internal/clock"
	"breakwater.dev/outlier"
	"breakwater.dev/policy"
	"breakwater.dev/wire"
)

// target is the breaker that an entry belongs to. It is immutable.
type target struct {
	key      breaker.Key
	adaptive bool // the data path is Adaptive, not Inline
	breaker  *breaker.Breaker
	nodes    *breaker.Engine // where each proxy has a breaker of its own: the engine that has them; else nil
	rules    wire.Rules
	slow     time.Duration // a call that takes this long is slow; 0: no call is slow
	cached   bool          // proxies keep copies of responses, and may answer rejected requests with them
	mesh     bool          // outlier detection has the scope Mesh: it gets the outcomes of all proxies

	connectLog *connectLog
}

// table finds targets: routes by the name of a route without its kind, upstreams, for connections, by name.
type table struct{ routes, upstreams map[string]*target }

func newTable(set *policy.Set, engine *breaker.Engine) *table {
	t := &table{routes: map[string]*target{}, upstreams: map[string]*target{}}
	for _, u := range set.Upstreams {
		for _, r := range u.Routes {
			b := r.Breaker
			if b == nil || b.Spec.Config.Mode == breaker.Disabled {
				continue
			}
			to := &target{
				key: b.Spec.Key, adaptive: b.DataPath == policy.Adaptive, breaker: engine.Breaker(b.Spec.Key),
				slow: b.Spec.Config.SlowCallDurationThreshold, cached: b.Fallback.Cached != nil,
				mesh: u.Outlier != nil && u.Outlier.Scope == outlier.Mesh,
				rules: wire.Rules{
					Classify: b.Classify, GRPC: u.Protocol == policy.GRPC, ClientGone: b.Spec.ClientGone,
					Timeout: r.Timeout,
				},
				connectLog: new(connectLog),
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

// route returns the target of a request that took the route with a name, and the kind of the route. The target is nil
// where such an entry does not count for a breaker.
func (t *table) route(name []byte) (*target, wire.RouteKind) {
	key, kind, ok := wire.CutRouteName(name)
	if !ok {
		return nil, 0
	}
	if to := t.routes[string(key)]; to != nil && to.counts(kind) {
		return to, kind
	}
	return nil, 0
}

// counts reports whether entries of routes of a kind count for the breaker. A proxy may still have routes of the other
// data path, from before the policy changed.
func (to *target) counts(kind wire.RouteKind) bool {
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

// alwaysLogged reports whether a proxy logs every request with this outcome and duration, whatever its route. The others are
// logged by sampling.
func (to *target) alwaysLogged(o breaker.Outcome, took time.Duration) bool {
	return o.Failed() || o != breaker.Ignored && to.slow > 0 && took >= to.slow
}

// connectDeadline is the longest time from the start of a connection to the arrival of the entry about its success or
// failure.
func (to *target) connectDeadline() time.Duration { return to.rules.Timeout + clock.MaxDelay }

// breakerFor returns the breaker for a proxy, given the identity in the proxy's certificate as owner.
func (to *target) breakerFor(node, owner string, now breaker.Instant) *breaker.Breaker {
	if to.nodes != nil {
		if b := to.nodes.NodeOf(to.key, node, owner, now); b != nil {
			return b
		}
	}
	return to.breaker
}
