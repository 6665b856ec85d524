package xds

import (
	"maps"
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"breakwater.dev/breaker"
	"breakwater.dev/policy"
	"breakwater.dev/wire"
	"breakwater.dev/xds/internal/message"
)

// adaptiveRoutes are the routes that one route becomes whose breaker is in the data path
// Adaptive: whole is the route as it would be without a breaker.
func adaptiveRoutes(u *policy.Upstream, b *policy.Breaker, whole *routev3.Route) ([]*routev3.Route, error) {
	marked, err := marking()
	if err != nil {
		return nil, err
	}
	// fork is the route again, for the share of calls that its key tells.
	fork := func(kind wire.RouteKind, usual uint32, filters map[string]*anypb.Any) *routev3.Route {
		r := proto.Clone(whole).(*routev3.Route)
		r.Name += kind.Suffix()
		r.TypedPerFilterConfig = filters
		r.Match.RuntimeFraction = fraction(wire.ShareKey(b.Spec.Key, kind), usual)
		return r
	}
	counted, open := fork(wire.RouteCounted, 0, marked), fork(wire.RouteOpen, 0, nil)
	for _, r := range []*routev3.Route{counted, open} {
		if err := fallsBack(r, u.Protocol, b); err != nil {
			return nil, err
		}
	}
	closed := proto.Clone(whole).(*routev3.Route)
	closed.Name += wire.RouteClosed.Suffix()
	sampled := fork(wire.RouteSampled, wire.Million, marked)
	for _, r := range []*routev3.Route{sampled, closed} {
		if err := setCopying(r, u.Protocol, b, false); err != nil {
			return nil, err
		}
	}
	// A call that is to be a probe and cannot ask is rejected, as those around it are: a
	// control plane that is slow must not let more probes through than are permitted. One
	// that is gone takes these routes with it, when the layer's TTL is over.
	asking, err := askingRoutes(u.Protocol, b, fork(wire.RouteProbe, 0, nil), whole.Name+wire.RouteAsking.Suffix())
	if err != nil {
		return nil, err
	}
	return slices.Concat([]*routev3.Route{counted, open}, asking, []*routev3.Route{sampled, closed}), nil
}

// askingRoutes returns two routes for the same calls. A call first matches the second one, called name, which
// asks the control plane and leads to the fallback. If the answer admits the call, it marks it and has it
// routed again; then the call matches the first route, which leads to the service. A call that gets no
// answer has no mark, and so it falls back.
func askingRoutes(p policy.Protocol, b *policy.Breaker, admitted *routev3.Route, name string) ([]*routev3.Route, error) {
	asking := proto.Clone(admitted).(*routev3.Route)
	asking.Name = name
	if err := fallsBack(asking, p, b); err != nil {
		return nil, err
	}
	if err := setAsking(asking, p, b, true); err != nil { // for the whole call, wherever it goes
		return nil, err
	}
	admitted.Match.DynamicMetadata = []*matcherv3.MetadataMatcher{metadataIsTrue(wire.AdmittedKey)}
	setTimes(admitted)
	return []*routev3.Route{admitted, asking}, setCopying(admitted, p, b, false)
}

// fraction is the share of calls that a runtime key tells, or else the usual one.
func fraction(key wire.RuntimeKey, usual uint32) *corev3.RuntimeFractionalPercent {
	return &corev3.RuntimeFractionalPercent{
		DefaultValue: &typev3.FractionalPercent{Numerator: usual, Denominator: typev3.FractionalPercent_MILLION},
		RuntimeKey:   string(key),
	}
}

// marking turns the filter on that marks a call for the log.
func marking() (map[string]*anypb.Any, error) {
	on, err := switchOn()
	if err != nil {
		return nil, err
	}
	return map[string]*anypb.Any{markFilter: on}, nil
}

// switchOn turns on a filter that is off elsewhere, as it is configured in the listener.
func switchOn() (*anypb.Any, error) { return message.Pack(&routev3.FilterConfig{Config: &anypb.Any{}}) }

// setAsking turns ext_proc on for a route, and takes the header with the times of the call out of
// the response again. Marking: the route leads to the fallback, so that calls have to be marked.
func setAsking(r *routev3.Route, p policy.Protocol, b *policy.Breaker, marking bool) error {
	guard, err := message.Pack(guarded(p, b, marking))
	if err != nil {
		return err
	}
	on, err := switchOn()
	if err != nil {
		return err
	}
	filter := wire.ExtProcFilter
	if b.Spec.PerNode {
		filter = nodeExtProcFilter
	}
	addFilters(r, map[string]*anypb.Any{filter: guard, hidingFilter: on})
	return nil
}

// addFilters gives a route the configuration of more filters. Routes share their maps, so it gets another one.
func addFilters(r *routev3.Route, more map[string]*anypb.Any) {
	filters := maps.Clone(more)
	maps.Copy(filters, r.TypedPerFilterConfig)
	r.TypedPerFilterConfig = filters
}

// setTimes tells the control plane the times of the call, in a header of the response that nobody else gets to see.
func setTimes(r *routev3.Route) {
	r.ResponseHeadersToAdd = append(r.ResponseHeadersToAdd, &corev3.HeaderValueOption{
		Header:       &corev3.HeaderValue{Key: wire.TimesHeader, Value: wire.TimesFormat},
		AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	})
}

// adaptive tells whether a route's breaker is enforced by gates. One that is disabled is
// out of the way, wherever it would stand.
func adaptive(r *policy.Route) bool {
	return r.Breaker != nil && r.Breaker.DataPath == policy.Adaptive && r.Breaker.Spec.Config.Mode != breaker.Disabled
}

// largestFallback is the size of the largest body that proxies answer with by themselves.
func largestFallback(set *policy.Set) uint32 {
	largest := 0
	for _, u := range set.Upstreams {
		for i := range u.Routes {
			if r := &u.Routes[i]; adaptive(r) || r.Breaker != nil && (inProxy(r.Breaker) || !r.Breaker.FailOpen) {
				largest = max(largest, len(r.Breaker.Fallback.Response.Body))
			}
		}
	}
	return uint32(largest)
}
