package xds

import (
	_ "embed" // the script below
	"fmt"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	luav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/lua/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	"breakwater.dev/policy"
	"breakwater.dev/wire"
	"breakwater.dev/xds/internal/message"
)

const (
	// cachedFilter keeps and serves copies of responses, on routes that turn it on.
	cachedFilter = "envoy.filters.http.lua"
)

//go:embed cached.lua
var cachedScript string

// copies is the filter that keeps copies. All routes share one script, since each has a
// state of its own.
func copies() *luav3.Lua {
	var names strings.Builder
	for _, name := range policy.IrrelevantHeaders() {
		fmt.Fprintf(&names, "  [%q] = true,\n", name)
	}
	return &luav3.Lua{DefaultSourceCode: &corev3.DataSource{
		Specifier: &corev3.DataSource_InlineString{InlineString: "local irrelevant = {\n" + names.String() + "}\n" + cachedScript},
	}}
}

// copying turns the filter on for a route of a breaker: to serve copies, or to keep them.
func copying(p policy.Protocol, b *policy.Breaker, serve bool) (*anypb.Any, error) {
	c := b.Fallback.Cached
	return message.Pack(&luav3.LuaPerRoute{FilterContext: &structpb.Struct{Fields: map[string]*structpb.Value{
		"breaker":     structpb.NewStringValue(b.Spec.Key.String()),
		"serve":       structpb.NewBoolValue(serve),
		"ttl":         structpb.NewNumberValue(c.TTL.Seconds()),
		"entries":     structpb.NewNumberValue(float64(c.MaxEntries)),
		"bytes":       structpb.NewNumberValue(float64(c.MaxBytes)),
		"body":        structpb.NewNumberValue(float64(c.MaxBodyBytes)),
		"credentials": structpb.NewBoolValue(c.WithCredentials),
		"headers":     structpb.NewStringValue(strings.Join(c.KeyHeaders, ",")),
		"framed":      structpb.NewBoolValue(p != policy.HTTP1),
	}}})
}

// inProxy tells whether it takes the proxy to answer what the control plane rejects.
func inProxy(b *policy.Breaker) bool { return b.Fallback.Upstream != nil || b.Fallback.Cached != nil }

// fallsBack makes r answer rejected calls.
func fallsBack(r *routev3.Route, p policy.Protocol, b *policy.Breaker) error {
	if to := b.Fallback.Upstream; to != nil {
		r.Action = &routev3.Route_Route{Route: takenOver(to)}
		return nil
	}
	rejects(r, p, &b.Fallback.Response)
	return setCopying(r, p, b, true)
}

// setCopying has r keep copies of responses, or serve them, where its breaker's fallback has any.
func setCopying(r *routev3.Route, p policy.Protocol, b *policy.Breaker, serve bool) error {
	if b.Fallback.Cached == nil {
		return nil
	}
	packed, err := copying(p, b, serve)
	if err != nil {
		return err
	}
	addFilters(r, map[string]*anypb.Any{cachedFilter: packed})
	return nil
}

// takenOver sends a call through the proxy once more, as one to another upstream: that one's
// routes, breakers and timeout are for it to go by.
func takenOver(to *policy.FallbackUpstream) *routev3.RouteAction {
	return &routev3.RouteAction{
		ClusterSpecifier:     &routev3.RouteAction_Cluster{Cluster: wire.EgressCluster},
		HostRewriteSpecifier: &routev3.RouteAction_HostRewriteLiteral{HostRewriteLiteral: to.Host},
		Timeout:              durationpb.New(0),
		IdleTimeout:          durationpb.New(0),
	}
}

// rejectedRoute takes the calls of a route that the control plane rejected, and that go on for
// their fallback; nil where rejected calls are answered at once.
func rejectedRoute(whole *routev3.Route, p policy.Protocol, b *policy.Breaker) (*routev3.Route, error) {
	if !inProxy(b) {
		return nil, nil
	}
	r := proto.Clone(whole).(*routev3.Route)
	r.Name += wire.RouteRejected.Suffix()
	r.TypedPerFilterConfig = nil
	r.Match.DynamicMetadata = []*matcherv3.MetadataMatcher{metadataIsTrue(wire.RejectedKey)}
	if err := fallsBack(r, p, b); err != nil {
		return nil, err
	}
	return r, nil
}

// takesOver tells whether calls of any upstream are taken over by another.
func takesOver(set *policy.Set) bool {
	for _, u := range set.Upstreams {
		for i := range u.Routes {
			if b := u.Routes[i].Breaker; b != nil && b.Fallback.Upstream != nil {
				return true
			}
		}
	}
	return false
}

// rejects makes r answer with a response. Envoy makes a gRPC status of it for callers that
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
