package xds

import (
	"regexp"
	"slices"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"breakwater.dev/breaker"
	"breakwater.dev/policy"
	"breakwater.dev/wire"
	"breakwater.dev/xds/internal/message"
)

const (
	anyHost = "*"
	// noUpstream is what a caller gets that names a host of no upstream.
	noUpstream = "breakwater: no upstream of the policy has this host\n"
	// streamMargin is how much later than the only try a gRPC stream is ended. The try begins later than
	// the stream: the control plane may be asked before, and a connection made. It is to end first, since it tells
	// more; and a call that the stream's end ends has been at the service for the whole timeout by
	// the clock of the control plane too, which begins when it is asked.
	streamMargin = messageTimeout + 100*time.Millisecond
	// defaultResponseBytes is Envoy's default for the size of a direct response
	// (RouteConfiguration.max_direct_response_body_size_bytes).
	defaultResponseBytes = 4096
)

// routeConfiguration has one virtual host for each upstream, and one for all
// hosts that no upstream has.
func routeConfiguration(set *policy.Set) (*routev3.RouteConfiguration, error) {
	rc := &routev3.RouteConfiguration{
		Name: wire.EgressName,
		// "payments:8080" reaches the upstream that has the host "payments".
		IgnorePortInHostMatching: true,
	}
	taken := false
	if largest := largestFallback(set); largest > defaultResponseBytes {
		rc.MaxDirectResponseBodySizeBytes = count(largest)
	}
	for _, u := range set.Upstreams {
		if u.Protocol == policy.TCP {
			continue // its calls are not requests
		}
		host, err := virtualHost(u)
		if err != nil {
			return nil, err
		}
		rc.VirtualHosts = append(rc.VirtualHosts, host)
		taken = taken || slices.Contains(u.Hosts, anyHost)
	}
	if !taken {
		rc.VirtualHosts = append(rc.VirtualHosts, unknownHost())
	}
	return rc, nil
}

func virtualHost(u *policy.Upstream) (*routev3.VirtualHost, error) {
	vh := &routev3.VirtualHost{Name: u.Name, Domains: u.Hosts}
	for i := range u.Routes {
		routes, err := routes(u, &u.Routes[i])
		if err != nil {
			return nil, err
		}
		vh.Routes = append(vh.Routes, routes...)
	}
	return vh, nil
}

func unknownHost() *routev3.VirtualHost {
	return &routev3.VirtualHost{
		Name:    anyHost,
		Domains: []string{anyHost},
		Routes: []*routev3.Route{{
			Name:  "no-upstream",
			Match: match(policy.Match{}),
			Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{
				Status: 404,
				Body:   &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: noUpstream}},
			}},
		}},
	}
}

// routes are what one route of an upstream becomes, under the name of the breaker it has
// or could have.
func routes(u *policy.Upstream, r *policy.Route) ([]*routev3.Route, error) {
	out := &routev3.Route{
		Name:   wire.RouteName(breaker.Key{Upstream: u.Name, Route: r.Name}, wire.RouteWhole),
		Match:  match(r.Match),
		Action: &routev3.Route_Route{Route: routeAction(u, r)},
	}
	// A breaker that is disabled is out of the way: its calls do not even ask.
	if r.Breaker == nil || r.Breaker.Spec.Config.Mode == breaker.Disabled {
		return []*routev3.Route{out}, nil
	}
	guarded := inlineRoutes
	if adaptive(r) {
		guarded = adaptiveRoutes
	}
	routes, err := guarded(u, r.Breaker, out)
	if err != nil {
		return nil, err
	}
	rejected, err := rejectedRoute(out, u.Protocol, r.Breaker)
	if rejected == nil || err != nil {
		return routes, err
	}
	// Calls come back here once they are rejected, and must not take the same way again.
	return append([]*routev3.Route{rejected}, routes...), nil
}

// inlineRoutes ask about every call. Where calls pass that cannot ask, they are one route.
func inlineRoutes(u *policy.Upstream, b *policy.Breaker, whole *routev3.Route) ([]*routev3.Route, error) {
	out := proto.Clone(whole).(*routev3.Route)
	if !b.FailOpen {
		return askingRoutes(u.Protocol, b, out, whole.Name+wire.RouteAsking.Suffix())
	}
	if err := setAsking(out, u.Protocol, b, false); err != nil {
		return nil, err
	}
	setTimes(out)
	if err := setCopying(out, u.Protocol, b, false); err != nil {
		return nil, err
	}
	return []*routev3.Route{out}, nil
}

func match(m policy.Match) *routev3.RouteMatch {
	out := &routev3.RouteMatch{}
	switch {
	case m.Path != "":
		out.PathSpecifier = &routev3.RouteMatch_Path{Path: m.Path}
	case strings.TrimRight(m.PathPrefix, "/") == "":
		out.PathSpecifier = &routev3.RouteMatch_Prefix{Prefix: "/"}
	case strings.HasSuffix(m.PathPrefix, "/"):
		out.PathSpecifier = &routev3.RouteMatch_Prefix{Prefix: m.PathPrefix}
	default:
		// Whole segments, as in the Gateway API: /charge takes /charge, /charge/7 and
		// /charge?id=7, and leaves /chargeback alone.
		out.PathSpecifier = &routev3.RouteMatch_PathSeparatedPrefix{PathSeparatedPrefix: m.PathPrefix}
	}
	if len(m.Methods) > 0 {
		out.Headers = []*routev3.HeaderMatcher{methodMatcher(m.Methods)}
	}
	return out
}

func methodMatcher(methods []string) *routev3.HeaderMatcher {
	m := message.Exactly(methods[0])
	if len(methods) > 1 {
		quoted := make([]string, len(methods))
		for i, method := range methods {
			quoted[i] = regexp.QuoteMeta(method)
		}
		m = matching(strings.Join(quoted, "|"))
	}
	return &routev3.HeaderMatcher{
		Name:                 ":method",
		HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: m},
	}
}

// routeAction sends to the upstream's cluster.
func routeAction(u *policy.Upstream, r *policy.Route) *routev3.RouteAction {
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

// idleTimeout is how long nothing may move in a call; 0: as long as it likes. Where the policy
// does not say, it is never ahead of the timeout, which tells more.
func idleTimeout(r *policy.Route) time.Duration {
	switch {
	case r.IdleTimeout > 0:
		return r.IdleTimeout
	case r.Timeout > 0:
		return r.Timeout + streamIdleTimeout
	default:
		return 0
	}
}

// setHeaderTimeout bounds the time from the end of the request to the headers of the response:
// the timeout of the only try lets go at the headers (measured with Envoy 1.40).
func setHeaderTimeout(action *routev3.RouteAction, timeout time.Duration) {
	action.RetryPolicy = &routev3.RetryPolicy{PerTryTimeout: durationpb.New(timeout), NumRetries: count(0)}
}

// setDeadlines ends a gRPC call as gRPC does: whatever it is doing, sending and
// streaming included, when the policy's timeout has passed, or its client's
// grpc-timeout where that is shorter. A client's deadline gets no margin: whoever notices
// it first, the call counts as one whose client left.
//
// With max_stream_duration Envoy no longer looks at the route's timeout (measured
// with 1.40). The policy's timeout is therefore the timeout of the only try as well,
// which counts against the endpoint and starts at the end of the request; the cap on
// the stream, a little later, ends what hangs after its headers.
func setDeadlines(action *routev3.RouteAction, r *policy.Route) {
	limit := &routev3.RouteAction_MaxStreamDuration{
		MaxStreamDuration:    durationpb.New(0), // no cap
		GrpcTimeoutHeaderMax: durationpb.New(0),
	}
	if r.Timeout > 0 {
		limit.MaxStreamDuration = durationpb.New(r.Timeout + streamMargin)
		limit.GrpcTimeoutHeaderMax = limit.MaxStreamDuration
		if r.ResponseHeaderTimeout == 0 {
			setHeaderTimeout(action, r.Timeout)
		}
	}
	action.MaxStreamDuration = limit
}

// guarded turns ext_proc on for a route and says whose calls these are. A call that cannot ask
// goes on where the route leads.
func guarded(p policy.Protocol, b *policy.Breaker, marking bool) *extprocv3.ExtProcPerRoute {
	overrides := &extprocv3.ExtProcOverrides{
		GrpcInitialMetadata: []*corev3.HeaderValue{{Key: wire.BreakerMetadata, Value: b.Spec.Key.String()}},
	}
	if marking {
		overrides.GrpcInitialMetadata = append(overrides.GrpcInitialMetadata, &corev3.HeaderValue{Key: wire.AskingMetadata, Value: "true"})
	}
	if inProxy(b) {
		overrides.GrpcInitialMetadata = append(overrides.GrpcInitialMetadata, &corev3.HeaderValue{Key: wire.FallbackMetadata, Value: "true"})
	}
	if p == policy.GRPC {
		// The status of a call is in its trailers.
		overrides.ProcessingMode = processingMode(extprocv3.ProcessingMode_SEND)
	}
	return &extprocv3.ExtProcPerRoute{Override: &extprocv3.ExtProcPerRoute_Overrides{Overrides: overrides}}
}
