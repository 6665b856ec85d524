package xds

import (
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"breakwater.dev/breaker"
	"breakwater.dev/policy"
)

// adaptiveRoutes are the routes that one route becomes whose breaker is in the data path
// Adaptive: whole is the route as it would be without a breaker.
func adaptiveRoutes(u *policy.Upstream, b *policy.Breaker, whole *routev3.Route) ([]*routev3.Route, error) {
	marked, err := marked()
	if err != nil {
		return nil, err
	}
	// A call that is to be a probe and cannot ask is rejected, as those around it are: a
	// control plane that is slow must not let more probes through than are permitted. One
	// that is gone takes this route with it, when the layer's TTL is over.
	strict := *b
	strict.FailOpen = false
	asking, err := asking(u.Protocol, &strict)
	if err != nil {
		return nil, err
	}
	// fork is the route again, for the share of calls that its key tells.
	fork := func(suffix string, usual uint32, filters map[string]*anypb.Any) *routev3.Route {
		r := proto.Clone(whole).(*routev3.Route)
		r.Name += suffix
		r.TypedPerFilterConfig = filters
		r.Match.RuntimeFraction = fraction(runtimeKey(b.Spec.Key, suffix), usual)
		return r
	}
	counted, open := fork(RouteCounted, 0, marked), fork(RouteOpen, 0, nil)
	rejects(counted, u.Protocol, &b.Fallback)
	rejects(open, u.Protocol, &b.Fallback)
	closed := proto.Clone(whole).(*routev3.Route)
	closed.Name += RouteClosed
	return []*routev3.Route{
		counted, open, fork(RouteProbe, 0, asking), fork(RouteSampled, Million, marked), closed,
	}, nil
}

// fraction is the share of calls that a runtime key tells, or else the usual one.
func fraction(key string, usual uint32) *corev3.RuntimeFractionalPercent {
	return &corev3.RuntimeFractionalPercent{
		DefaultValue: &typev3.FractionalPercent{Numerator: usual, Denominator: typev3.FractionalPercent_MILLION},
		RuntimeKey:   key,
	}
}

// marked turns the filter on that marks a call for the log.
func marked() (map[string]*anypb.Any, error) {
	on, err := pack(&routev3.FilterConfig{Config: &anypb.Any{}})
	if err != nil {
		return nil, err
	}
	return map[string]*anypb.Any{markFilter: on}, nil
}

// asking turns ext_proc on.
func asking(p policy.Protocol, b *policy.Breaker) (map[string]*anypb.Any, error) {
	guard, err := pack(guarded(p, b))
	if err != nil {
		return nil, err
	}
	if b.Spec.PerNode {
		return map[string]*anypb.Any{nodeExtProcFilter: guard}, nil
	}
	return map[string]*anypb.Any{extProcFilter: guard}, nil
}

// rejects makes r answer with a fallback. Envoy makes a gRPC status of it for callers that
// speak gRPC, of 503 UNAVAILABLE: who calls an upstream that speaks gRPC gets that whatever
// the fallback says, as an answer 200 would be taken for a broken one.
func rejects(r *routev3.Route, p policy.Protocol, f *policy.Response) {
	status := uint32(f.Status)
	if p == policy.GRPC {
		status = uint32(typev3.StatusCode_ServiceUnavailable)
	}
	answer := &routev3.DirectResponseAction{Status: status}
	if f.Body != "" {
		answer.Body = &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: f.Body}}
	}
	r.Action = &routev3.Route_DirectResponse{DirectResponse: answer}
	add := func(name, value string) {
		r.ResponseHeadersToAdd = append(r.ResponseHeadersToAdd, &corev3.HeaderValueOption{
			// A percent sign begins a command of Envoy's formatter.
			Header:         &corev3.HeaderValue{Key: name, Value: strings.ReplaceAll(value, "%", "%%")},
			AppendAction:   corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
			KeepEmptyValue: true,
		})
	}
	if f.ContentType != "" && f.Body != "" && p != policy.GRPC {
		add("content-type", f.ContentType)
	}
	for _, h := range f.Headers {
		add(h.Name, h.Value)
	}
}

// adaptive tells whether a route's breaker is enforced by gates. One that is disabled is
// out of the way, wherever it would stand.
func adaptive(r *policy.Route) bool {
	return r.Breaker != nil && r.Breaker.DataPath == policy.Adaptive && r.Breaker.Spec.Config.Mode != breaker.Disabled
}

// largestFallback is the size of the largest body that a set's gates answer with.
func largestFallback(set *policy.Set) uint32 {
	largest := 0
	for _, u := range set.Upstreams {
		for i := range u.Routes {
			if r := &u.Routes[i]; adaptive(r) {
				largest = max(largest, len(r.Breaker.Fallback.Body))
			}
		}
	}
	return uint32(largest)
}
