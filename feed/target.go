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
	perNode  bool // each proxy has a breaker of its own
	rules    wire.Rules
	slow     time.Duration // a call that takes this long is slow; 0: no call is slow
	cached   bool          // proxies keep copies of responses, and may answer rejected requests with them
	runs     bool          // failures in a row trip the breaker
	mesh     bool          // outlier detection has the scope Mesh: it gets the outcomes of all proxies

	connectLog *connectLog
	// breaker is the same for all targets with the same key.
	breaker *breaker.Key
}

// table finds targets: routes by the name of a route without its kind, upstreams, for connections, by name.
type table struct{ routes, upstreams map[string]*target }

func newTable(set *policy.Set) *table {
	breakers := map[breaker.Key]*breaker.Key{}
	t := &table{routes: map[string]*target{}, upstreams: map[string]*target{}}
	for u, r := range set.Routes() {
		b := r.Breaker
		if !b.Enabled() {
			continue
		}
		to := &target{
			key: b.Spec.Key, adaptive: b.DataPath == policy.Adaptive, perNode: b.Spec.PerNode,
			slow: b.Spec.Config.SlowCallDurationThreshold, cached: b.Fallback.Cached != nil,
			runs: b.Spec.Config.ConsecutiveFailures > 0,
			mesh: u.Outlier != nil && u.Outlier.Scope == outlier.Mesh,
			rules: wire.Rules{
				Classify: b.Classify, GRPC: u.Protocol == policy.GRPC, ClientGone: b.Spec.ClientGone,
				Timeout: r.Timeout,
			},
			connectLog: new(connectLog),
		}
		if breakers[to.key] == nil {
			breakers[to.key] = &to.key
		}
		to.breaker = breakers[to.key]
		if u.Protocol == policy.TCP {
			t.upstreams[u.Name] = to
		} else {
			t.routes[wire.RouteName(breaker.Key{Upstream: u.Name, Route: r.Name}, wire.RouteWhole)] = to
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

// alwaysLogged reports whether a proxy logs every request with this outcome and duration, whatever its route. The others are
// logged by sampling.
func (to *target) alwaysLogged(o breaker.Outcome, took time.Duration) bool {
	return o.Failed() || o != breaker.Ignored && to.slow > 0 && took >= to.slow
}

// connectDeadline is the longest time from the start of a connection to the arrival of the entry about its success or
// failure.
func (to *target) connectDeadline() time.Duration { return to.rules.Timeout + clock.MaxDelay }
