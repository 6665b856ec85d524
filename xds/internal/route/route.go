package route

import (
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"breakwater.dev/breaker"
	"breakwater.dev/policy"
	"breakwater.dev/wire"
)

// wholeRoute returns a route of an upstream as it is without a breaker, under the name by which the feed knows it.
func wholeRoute(u *policy.Upstream, r *policy.Route) *routev3.Route {
	return &routev3.Route{
		Name:   wire.RouteName(breaker.Key{Upstream: u.Name, Route: r.Name}, wire.RouteWhole),
		Match:  match(r.Match),
		Action: &routev3.Route_Route{Route: toCluster(u, r)},
	}
}

// toCluster sends requests to the upstream's cluster, within the times of the route.
func toCluster(u *policy.Upstream, r *policy.Route) *routev3.RouteAction {
	action := &routev3.RouteAction{
		ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: u.Name},
		Timeout:          durationpb.New(r.Timeout),
		IdleTimeout:      durationpb.New(idleTimeout(r)),
	}
	if r.ResponseHeaderTimeout > 0 {
		setHeaderTimeout(action, r.ResponseHeaderTimeout)
	}
	if u.Protocol == policy.GRPC {
		setDeadlines(action, r)
	}
	return action
}
