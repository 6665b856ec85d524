package feed

import (
	"maps"
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

// table finds targets: routes by the name of a route without its kind, upstreams, for connections, by name. It is immutable.
type table struct {
	set               *policy.Set // nil: there is none yet
	routes, upstreams map[string]*target
}

func newTable() *table {
	return &table{routes: map[string]*target{}, upstreams: map[string]*target{}}
}

// next returns the table of a set, and the breakers whose calls counted so far and count no longer. Targets of upstreams that
// did not change stay.
func (t *table) next(set *policy.Set) (next *table, gone []breaker.Key) {
	change := set.Since(t.set)
	next = &table{set, maps.Clone(t.routes), maps.Clone(t.upstreams)}
	counts := map[breaker.Key]bool{}
	for _, u := range change.Gone {
		for r := range u.Breakers() {
			counts[r.Breaker.Spec.Key] = false
		}
		delete(next.upstreams, u.Name)
		for i := range u.Routes {
			delete(next.routes, routeName(u, &u.Routes[i]))
		}
	}
	for _, u := range change.New {
		breakers := map[breaker.Key]*breaker.Key{}
		for i := range u.Routes {
			r := &u.Routes[i]
			if !r.Breaker.Enabled() {
				continue
			}
			to := newTarget(u, r)
			if breakers[to.key] == nil {
				breakers[to.key] = &to.key
			}
			to.breaker = breakers[to.key]
			counts[to.key] = true
			if u.Protocol == policy.TCP {
				next.upstreams[u.Name] = to
			} else {
				next.routes[routeName(u, r)] = to
			}
		}
	}
	for key, counts := range counts {
		if !counts {
			gone = append(gone, key)
		}
	}
	return next, gone
}

func routeName(u *policy.Upstream, r *policy.Route) string {
	return wire.RouteName(breaker.Key{Upstream: u.Name, Route: r.Name}, wire.RouteWhole)
}

// newTarget returns the target of a route, without the field breaker.
func newTarget(u *policy.Upstream, r *policy.Route) *target {
	b := r.Breaker
	return &target{
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
