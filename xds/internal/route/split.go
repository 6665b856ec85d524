package route

import (
	"errors"
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"

	"breakwater.dev/gate"
	"breakwater.dev/policy"
	"breakwater.dev/wire"
	"breakwater.dev/xds/internal/filter"
)

// Assumptions are facts about a proxy and an upstream that the routes of a breaker depend on.
type Assumptions struct {
	// Protocol is the upstream's protocol, which is not TCP. Callers of an upstream that speaks gRPC are rejected with
	// UNAVAILABLE, and the outcome of a request to it is in the trailers.
	Protocol policy.Protocol
	// EgressCluster is the cluster by which the proxy sends a request to itself, so that the request takes the routes of
	// another upstream. Empty: the proxy has no such cluster, and no breaker can have an upstream as its fallback.
	EgressCluster string
}

// SplitRoute returns the routes that enforce a breaker on the requests of one route, in the order in which a proxy must
// match them. They replace the given route, which leads to the service and is not changed. The route may come from
// elsewhere: its match, its action, its filters and its headers stay in the routes that lead to the service. A breaker that is
// disabled leaves the route as it is.
//
// The feed finds the breaker of a request by the name of its route. That is [wire.RouteName] of the upstream and its route,
// with [wire.RouteWhole]; several routes may share a breaker. The routes that are returned have the same name with the
// suffixes of their kinds. In the data path Adaptive the route cannot have a runtime
// fraction of its own, since a route matches by one fraction only. The listener must have the filters of package filter.
// It is an error if the route or the assumptions do not meet these conditions.
func SplitRoute(whole *routev3.Route, b *policy.Breaker, a Assumptions) ([]*routev3.Route, error) {
	kinds := kindsFor(b)
	if len(kinds) == 0 {
		return []*routev3.Route{whole}, nil
	}
	if err := check(whole, b, a); err != nil {
		return nil, fmt.Errorf("the breaker of route %q: %w", whole.Name, err)
	}
	routes := make([]*routev3.Route, len(kinds))
	for i := range kinds {
		var err error
		if routes[i], err = kinds[i].copyRoute(whole, b, a); err != nil {
			return nil, fmt.Errorf("the breaker of route %q: %w", whole.Name, err)
		}
	}
	return routes, nil
}

// check reports a route that cannot have the breaker.
func check(whole *routev3.Route, b *policy.Breaker, a Assumptions) error {
	_, kind, ok := wire.CutRouteName(whole.Name)
	switch {
	case whole.Name == "" || !ok || kind != wire.RouteWhole:
		return errors.New("the name is not the name of a breaker")
	case whole.Match == nil:
		return errors.New("the route has no match")
	case whole.GetRoute() == nil:
		return errors.New("the route leads to no service")
	case b.DataPath == policy.Adaptive && whole.Match.RuntimeFraction != nil:
		return errors.New("the route has a runtime fraction already")
	case b.Fallback.Upstream != nil && a.EgressCluster == "":
		return errors.New("the proxy has no cluster by which another upstream can take over")
	default:
		return nil
	}
}

// kind says what the routes of one kind do.
type kind struct {
	kind wire.RouteKind
	// share is the kind whose runtime key says which share of the requests match; every: all requests do.
	share wire.RouteKind
	// changes turn a copy of the whole route into a route of the kind.
	changes []change
}

// every is the share of kinds that match all requests.
const every = wire.RouteWhole

// The kinds of routes that a breaker has, in the order of [wire.RouteKind], which is the order in which a proxy matches
// them. A request that the control plane has rejected or admitted comes back here, and must not take the same route again.
var (
	// rejected goes before the other kinds if only the proxy can produce the fallback.
	rejected = kind{wire.RouteRejected, every, []change{ifRejected, fallBack}}
	// inline is for the data path Inline.
	inline = []kind{
		{wire.RouteWhole, every, []change{askExtProc, addTimes, keepCopies}},
	}
	// inlineFailClosed is for the data path Inline where a request that cannot ask falls back.
	inlineFailClosed = []kind{
		{wire.RouteWhole, every, []change{ifAdmitted, addTimes, keepCopies}},
		{wire.RouteAsking, every, []change{fallBack, askForPermit}},
	}
	// adaptive is for the data path Adaptive. A request that should be a probe and cannot ask is rejected, as the requests
	// around it are: a slow control plane must not let more probes through than are permitted. When the control plane is
	// gone these routes go with it, once the layer's TTL is over.
	adaptive = []kind{
		{wire.RouteCounted, wire.RouteCounted, []change{markForLog, fallBack}},
		{wire.RouteOpen, wire.RouteOpen, []change{fallBack}},
		{wire.RouteProbe, wire.RouteProbe, []change{ifAdmitted, addTimes, keepCopies}},
		{wire.RouteAsking, wire.RouteProbe, []change{fallBack, askForPermit}},
		{wire.RouteExact, wire.RouteExact, []change{markForLog, keepCopies}},
		{wire.RouteSampled, wire.RouteSampled, []change{markForLog, keepCopies}},
		{wire.RouteClosed, every, []change{keepCopies}},
	}
)

// kindsFor returns the kinds of routes that a breaker has; none if it is disabled.
func kindsFor(b *policy.Breaker) []kind {
	var kinds []kind
	switch {
	case !b.Enabled():
		return nil
	case b.DataPath == policy.Adaptive:
		kinds = adaptive
	case b.FailOpen:
		kinds = inline
	default:
		kinds = inlineFailClosed
	}
	if filter.InProxy(b) {
		return append([]kind{rejected}, kinds...)
	}
	return kinds
}

// Shares yields the kinds of routes that match a share of the requests, in the order in which a proxy matches them.
// [gate.Gate.Share] returns the share.
func Shares(yield func(wire.RouteKind) bool) {
	for i := range adaptive {
		if k := &adaptive[i]; k.share == k.kind && !yield(k.kind) {
			return
		}
	}
}

// copyRoute returns a route of the kind, made from the whole route.
func (k *kind) copyRoute(whole *routev3.Route, b *policy.Breaker, a Assumptions) (*routev3.Route, error) {
	r := proto.Clone(whole).(*routev3.Route)
	r.Name += k.kind.Suffix()
	if k.share != every {
		var none gate.Gate // holds in a proxy that has no keys of this breaker
		r.Match.RuntimeFraction = &corev3.RuntimeFractionalPercent{
			DefaultValue: &typev3.FractionalPercent{Numerator: none.Share(k.share), Denominator: typev3.FractionalPercent_MILLION},
			RuntimeKey:   string(wire.ShareKey(b.Spec.Key, k.share)),
		}
	}
	for _, c := range k.changes {
		if err := c(r, b, a); err != nil {
			return nil, err
		}
	}
	return r, nil
}
