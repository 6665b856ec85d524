package route

import (
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"breakwater.dev/policy"
	"breakwater.dev/wire"
	"breakwater.dev/xds/internal/filter"
)

// fallBack has the route lead to the breaker's fallback in place of the service.
func fallBack(r *routev3.Route, b *policy.Breaker, a Assumptions) error {
	if to := b.Fallback.Upstream; to != nil {
		r.Action = &routev3.Route_Route{Route: takenOver(to, a.EgressCluster)}
		return nil
	}
	answer(r, a.Protocol, &b.Fallback.Response)
	return filter.ServeCopies(r, a.Protocol, b)
}

// takenOver sends a request through the proxy once more, as a request to another upstream, whose own routes, breakers and
// timeout hold for it then.
func takenOver(to *policy.FallbackUpstream, egressCluster string) *routev3.RouteAction {
	return &routev3.RouteAction{
		ClusterSpecifier:     &routev3.RouteAction_Cluster{Cluster: egressCluster},
		HostRewriteSpecifier: &routev3.RouteAction_HostRewriteLiteral{HostRewriteLiteral: to.Host},
		Timeout:              durationpb.New(0),
		IdleTimeout:          durationpb.New(0),
	}
}

// takeoverHost returns the host of the upstream that takes over the requests of a route; "": none does.
func takeoverHost(r *routev3.Route) string {
	if to := r.GetRoute(); to.GetCluster() == wire.EgressCluster {
		return to.GetHostRewriteLiteral()
	}
	return ""
}

// envoysContentType is the content type that Envoy gives a response of its own that has a body. Saying so again would cost
// bytes and memory in three routes of every breaker.
const envoysContentType = "text/plain"

// answer has the route answer with a response. For callers that speak gRPC Envoy makes a gRPC status of the HTTP status,
// of 503 UNAVAILABLE. Callers of an upstream that speaks gRPC get 503 whatever the fallback says, since they would take a
// response 200 for a broken one.
func answer(r *routev3.Route, p policy.Protocol, f *policy.Response) {
	status := uint32(f.Status)
	if p == policy.GRPC {
		status = uint32(typev3.StatusCode_ServiceUnavailable)
	}
	direct := &routev3.DirectResponseAction{Status: status}
	if f.Body != "" {
		direct.Body = &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: f.Body}}
	}
	r.Action = &routev3.Route_DirectResponse{DirectResponse: direct}
	add := func(name, value string) {
		r.ResponseHeadersToAdd = append(r.ResponseHeadersToAdd, &corev3.HeaderValueOption{
			// A percent sign begins a command of Envoy's formatter.
			Header:         &corev3.HeaderValue{Key: name, Value: strings.ReplaceAll(value, "%", "%%")},
			AppendAction:   corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
			KeepEmptyValue: true,
		})
	}
	if f.ContentType != "" && f.ContentType != envoysContentType && f.Body != "" && p != policy.GRPC {
		add("content-type", f.ContentType)
	}
	for _, h := range f.Headers {
		add(h.Name, h.Value)
	}
}
