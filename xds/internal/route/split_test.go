package route

import (
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"breakwater.dev/breaker"
	"breakwater.dev/gate"
	"breakwater.dev/policy"
	"breakwater.dev/wire"
	"breakwater.dev/xds/internal/filter"
)

// foreign returns a route as another control plane could have made it.
func foreign() *routev3.Route {
	return &routev3.Route{
		Name: "payments/charge",
		Match: &routev3.RouteMatch{
			PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/charge"},
			Headers:       []*routev3.HeaderMatcher{{Name: "x-tenant", HeaderMatchSpecifier: &routev3.HeaderMatcher_PresentMatch{PresentMatch: true}}},
		},
		Action: &routev3.Route_Route{Route: &routev3.RouteAction{
			ClusterSpecifier: &routev3.RouteAction_WeightedClusters{WeightedClusters: &routev3.WeightedCluster{
				Clusters: []*routev3.WeightedCluster_ClusterWeight{{Name: "outbound|80||payments"}, {Name: "outbound|80||payments-canary"}},
			}},
			Timeout: durationpb.New(3 * time.Second),
		}},
		TypedPerFilterConfig: map[string]*anypb.Any{"envoy.filters.http.cors": {TypeUrl: "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy"}},
		ResponseHeadersToAdd: []*corev3.HeaderValueOption{{Header: &corev3.HeaderValue{Key: "x-from", Value: "mesh"}}},
	}
}

func foreignBreaker(path policy.DataPath) *policy.Breaker {
	return &policy.Breaker{
		Spec: breaker.Spec{Key: breaker.Key{Upstream: "payments", Route: "charge"}}, DataPath: path,
		Fallback: policy.Fallback{Response: policy.Response{Status: 503, Body: "later"}},
	}
}

// TestSplitRouteOfAnotherMesh: routes that lead to the service do all that the given one did.
func TestSplitRouteOfAnotherMesh(t *testing.T) {
	whole := foreign()
	routes, err := SplitRoute(whole, foreignBreaker(policy.Adaptive), Assumptions{Protocol: policy.HTTP1})
	if err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(whole, foreign()) {
		t.Errorf("the given route has become %v", whole)
	}
	var names, toService []string
	for _, r := range routes {
		names = append(names, r.Name)
		if !proto.Equal(r.Match.Headers[0], whole.Match.Headers[0]) || r.TypedPerFilterConfig["envoy.filters.http.cors"] == nil || r.ResponseHeadersToAdd[0].Header.Key != "x-from" {
			t.Errorf("%s has lost something of the given route: %v", r.Name, r)
		}
		if r.GetRoute() == nil {
			continue
		}
		toService = append(toService, r.Name)
		if !proto.Equal(r.GetRoute(), whole.GetRoute()) {
			t.Errorf("%s leads to %v, want what the given route leads to", r.Name, r.GetRoute())
		}
	}
	name := func(kinds ...wire.RouteKind) (all []string) {
		for _, k := range kinds {
			all = append(all, "payments/charge"+k.Suffix())
		}
		return all
	}
	if diff := cmp.Diff(name(wire.RouteCounted, wire.RouteOpen, wire.RouteProbe, wire.RouteAsking, wire.RouteExact, wire.RouteSampled, wire.RouteClosed), names); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(name(wire.RouteProbe, wire.RouteExact, wire.RouteSampled, wire.RouteClosed), toService); diff != "" {
		t.Errorf("routes to the service (-want +got):\n%s", diff)
	}
}

// TestSplitRouteTakenOver: the cluster by which a proxy calls itself has the name that the caller gives.
func TestSplitRouteTakenOver(t *testing.T) {
	b := foreignBreaker(policy.Inline)
	b.FailOpen, b.Fallback.Upstream = true, &policy.FallbackUpstream{Name: "backup", Host: "backup.internal"}
	routes, err := SplitRoute(foreign(), b, Assumptions{Protocol: policy.HTTP1, EgressCluster: "internal-egress"})
	if err != nil {
		t.Fatal(err)
	}
	if len(routes) != 2 || routes[0].Name != "payments/charge"+wire.RouteRejected.Suffix() || routes[1].Name != "payments/charge" {
		t.Fatalf("got %v, want a route for rejected requests and then the whole route", routes)
	}
	if to := routes[0].GetRoute(); to.GetCluster() != "internal-egress" || to.GetHostRewriteLiteral() != "backup.internal" {
		t.Errorf("rejected requests go to %v, want backup.internal by the given cluster", to)
	}
	if routes[1].TypedPerFilterConfig[filter.ExtProc] == nil {
		t.Error("the whole route does not ask the control plane")
	}
}

func TestSplitRouteLeavesADisabledBreakerOut(t *testing.T) {
	b := foreignBreaker(policy.Adaptive)
	b.Spec.Config.Mode = breaker.Disabled
	whole := foreign()
	if routes, err := SplitRoute(whole, b, Assumptions{}); err != nil || len(routes) != 1 || routes[0] != whole {
		t.Errorf("got %v, %v, want the route itself", routes, err)
	}
}

func TestSplitRouteRefuses(t *testing.T) {
	adaptive, takenOver := foreignBreaker(policy.Adaptive), foreignBreaker(policy.Adaptive)
	takenOver.Fallback.Upstream = &policy.FallbackUpstream{Name: "backup", Host: "backup"}
	for name, tt := range map[string]struct {
		breaker *policy.Breaker
		change  func(*routev3.Route)
		want    string
	}{
		"no name":             {adaptive, func(r *routev3.Route) { r.Name = "" }, "not the name of a breaker"},
		"a name of ours":      {adaptive, func(r *routev3.Route) { r.Name += wire.RouteOpen.Suffix() }, "not the name of a breaker"},
		"no match":            {adaptive, func(r *routev3.Route) { r.Match = nil }, "has no match"},
		"a redirect":          {adaptive, func(r *routev3.Route) { r.Action = &routev3.Route_Redirect{} }, "leads to no service"},
		"a share of its own":  {adaptive, func(r *routev3.Route) { r.Match.RuntimeFraction = &corev3.RuntimeFractionalPercent{} }, "runtime fraction"},
		"no way back into it": {takenOver, func(*routev3.Route) {}, "no cluster"},
	} {
		t.Run(name, func(t *testing.T) {
			whole := foreign()
			tt.change(whole)
			_, err := SplitRoute(whole, tt.breaker, Assumptions{Protocol: policy.HTTP1})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want %q", err, tt.want)
			}
		})
	}
}

// TestKindsAreInOrder: a proxy matches the routes of a breaker in the order of wire.RouteKind, and in Adaptive there is one of
// each kind.
func TestKindsAreInOrder(t *testing.T) {
	next := wire.RouteRejected + 1
	for _, k := range adaptive {
		if k.kind != next {
			t.Errorf("kind %q is where %q belongs", k.kind, next)
		}
		next = k.kind + 1
	}
	if next != wire.RouteClosed+1 {
		t.Errorf("the kinds end before %q", next)
	}
	for name, kinds := range map[string][]kind{"adaptive": adaptive, "inline": inline, "inline, fail closed": inlineFailClosed} {
		before := wire.RouteWhole
		for i, k := range kinds {
			if i > 0 && k.kind <= before {
				t.Errorf("%s: kind %q is behind %q", name, k.kind, before)
			}
			before = k.kind
		}
	}
}

// TestSharesOfARouteWithoutGate: without runtime keys, all requests go through and are logged.
func TestSharesOfARouteWithoutGate(t *testing.T) {
	routes, err := SplitRoute(foreign(), foreignBreaker(policy.Adaptive), Assumptions{Protocol: policy.HTTP1})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range routes {
		share := r.Match.RuntimeFraction.GetDefaultValue().GetNumerator()
		if r.Name == "payments/charge"+wire.RouteSampled.Suffix() {
			if share != wire.Million {
				t.Errorf("%s: %d of a million requests match, want all", r.Name, share)
			}
			return
		}
		if share != 0 {
			t.Errorf("%s: %d of a million requests match, want none", r.Name, share)
		}
	}
	t.Error("there is no sampled route")
}

// TestEveryShareHasItsGate: each kind that matches a share of the requests has a meaning in package gate.
func TestEveryShareHasItsGate(t *testing.T) {
	all := gate.Gate{Open: wire.Million, Probe: true, Sampling: wire.Sampling{Exact: true}}
	for kind := range Shares {
		if all.Share(kind) == 0 {
			t.Errorf("a gate that rejects, probes and logs all calls has no share for %q", kind)
		}
	}
}
