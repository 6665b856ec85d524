package xds

import (
	"net/netip"
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	headermutationv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"breakwater.dev/wire"
	"breakwater.dev/xds/internal/connect"
	"breakwater.dev/xds/internal/message"
)

const (
	// nodeExtProcFilter is ext_proc once more, for routes whose breakers are the
	// proxy's own: it also says which proxy asks. What a filter sends cannot be set for
	// a route (Envoy ignores the request_attributes of ExtProcOverrides), and
	// breakers of the mesh are not to pay for it.
	nodeExtProcFilter = wire.ExtProcFilter + ".node"
	// hidingFilter takes the header with the times of a call out of responses again. It comes
	// before the filters that ask, and so after them on the way back.
	hidingFilter = "envoy.filters.http.header_mutation"
	routerFilter = "envoy.filters.http.router"
	hcmFilter    = "envoy.filters.network.http_connection_manager"

	// messageTimeout is how long a proxy waits for the control plane's answer.
	messageTimeout = 200 * time.Millisecond
	// RouteToHost bounds how long a call takes from choosing its route to choosing a host of the
	// route's cluster: meanwhile the control plane may be asked, once, and threads of a busy
	// proxy are behind. A call whose cluster is gone by then is a 503.
	RouteToHost = messageTimeout + 2*time.Second
	// streamIdleTimeout ends a call on which nothing moves in either direction, as
	// long as its route has a timeout at all. It is Envoy's own default.
	streamIdleTimeout = 5 * time.Minute
	// runningInterval is how often proxies log the probes that are still running. A probe
	// whose request takes longer than that gives its permit back.
	runningInterval = time.Second
)

// forwardedHeaders are all that the control plane gets to see of a call: what tells
// gRPC and sockets from HTTP, and the outcome. Pseudo headers are subject to the list too.
func forwardedHeaders() []string {
	return []string{":status", "content-type", "grpc-status", "grpc-timeout", "upgrade", wire.TimesHeader}
}

// responseAttributes go with the response headers: what tells a proxy's own answer,
// and why it was given, from the upstream's.
func responseAttributes() []string { return []string{wire.DetailsAttribute, wire.FlagsAttribute} }

// requestAttributes go with the request headers of [nodeExtProcFilter]: node.id of the
// proxy's own bootstrap, which no client can forge. Two other ways are closed: xds.node
// without a field is 80 KB a request, and CEL in the metadata of a gRPC service crashes
// the proxy with its first request (Envoy 1.37 and 1.40).
func requestAttributes() []string { return []string{wire.NodeIDAttribute} }

// listener is where applications send to, either with the Host header they would
// use anyway or as to an HTTP proxy.
func listener(listen netip.AddrPort) (*listenerv3.Listener, error) {
	manager, err := connectionManager()
	if err != nil {
		return nil, err
	}
	packed, err := message.Pack(manager)
	if err != nil {
		return nil, err
	}
	return &listenerv3.Listener{
		Name:             wire.EgressName,
		Address:          connect.Address(listen),
		StatPrefix:       wire.EgressName,
		TrafficDirection: corev3.TrafficDirection_OUTBOUND,
		FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{
			Name:       hcmFilter,
			ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed},
		}}}},
	}, nil
}

// connectionManager leaves calls as applications made them: their peer is the
// upstream, and the proxy is not to be noticed.
func connectionManager() (*hcmv3.HttpConnectionManager, error) {
	filters, err := httpFilters()
	if err != nil {
		return nil, err
	}
	log, err := accessLog()
	if err != nil {
		return nil, err
	}
	steering, err := withoutSteering()
	if err != nil {
		return nil, err
	}
	claims, err := withoutClaims()
	if err != nil {
		return nil, err
	}
	return &hcmv3.HttpConnectionManager{
		StatPrefix: wire.EgressName,
		RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{
			ConfigSource: connect.OverADS(), RouteConfigName: wire.EgressName,
		}},
		HttpFilters: filters,
		AccessLog:   []*accesslogv3.AccessLog{log},
		AccessLogOptions: &hcmv3.HttpConnectionManager_HcmAccessLogOptions{
			AccessLogFlushInterval: durationpb.New(runningInterval),
		},
		HttpProtocolOptions: &corev3.Http1ProtocolOptions{
			AllowAbsoluteUrl: wrapperspb.Bool(true), // "GET http://payments/ HTTP/1.1", as to a proxy
			AcceptHttp_10:    true,
			EnableTrailers:   true,
			// A server that does not know what it is asked to upgrade to answers as if it had not been
			// asked (RFC 9110 section 7.8). Envoy's answer would be a 403.
			IgnoreHttp_11Upgrade: []*matcherv3.StringMatcher{matching(otherThan(wire.Websocket))},
		},
		ServerHeaderTransformation: hcmv3.HttpConnectionManager_PASS_THROUGH,
		// The scheme is the upstream connection's: applications speak plain text up to here.
		SchemeHeaderTransformation: &corev3.SchemeHeaderTransformation{MatchUpstream: true},
		// No x-forwarded-for: the application is the caller, on the same host. What it says there
		// and in x-forwarded-client-cert is for its service, and goes on as it is.
		UseRemoteAddress:              wrapperspb.Bool(false),
		SkipXffAppend:                 true,
		OriginalIpDetectionExtensions: claims,
		EarlyHeaderMutationExtensions: steering,
		ForwardClientCertDetails:      hcmv3.HttpConnectionManager_ALWAYS_FORWARD_ONLY,
		GenerateRequestId:             wrapperspb.Bool(false),
		// "payments.shop.svc.cluster.local." is the same host: the dot spares a resolver the search domains.
		StripTrailingHostDot: true,
		// Paths go through untouched. Nothing here authorizes by path, so there is nothing
		// to evade, and a rewritten path breaks whoever signs it.
		NormalizePath:                wrapperspb.Bool(false),
		PathWithEscapedSlashesAction: hcmv3.HttpConnectionManager_KEEP_UNCHANGED,
		UpgradeConfigs:               []*hcmv3.HttpConnectionManager_UpgradeConfig{{UpgradeType: wire.Websocket}},
		StreamIdleTimeout:            durationpb.New(streamIdleTimeout),
		LocalReplyConfig:             localReplies(),
	}, nil
}

func httpFilters() ([]*hcmv3.HttpFilter, error) {
	processor, err := message.Pack(externalProcessor(nil))
	if err != nil {
		return nil, err
	}
	nodeProcessor, err := message.Pack(externalProcessor(requestAttributes()))
	if err != nil {
		return nil, err
	}
	hide, err := message.Pack(hiding())
	if err != nil {
		return nil, err
	}
	mark, err := message.Pack(marker())
	if err != nil {
		return nil, err
	}
	copies, err := message.Pack(copies())
	if err != nil {
		return nil, err
	}
	router, err := message.Pack(&routerv3.Router{
		// Neither services nor callers are told of timeouts, tries or times.
		SuppressEnvoyHeaders: true,
	})
	if err != nil {
		return nil, err
	}
	return []*hcmv3.HttpFilter{
		{Name: hidingFilter, Disabled: true, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: hide}},
		// Off where no route turns it on, so that a call without a breaker costs nothing.
		{Name: wire.ExtProcFilter, Disabled: true, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: processor}},
		{Name: nodeExtProcFilter, Disabled: true, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: nodeProcessor}},
		{Name: markFilter, Disabled: true, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: mark}},
		// Behind those that ask, so that it serves what they let go on to a fallback.
		{Name: cachedFilter, Disabled: true, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: copies}},
		{Name: routerFilter, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: router}},
	}, nil
}

// hiding takes the header with the times of a call out of responses.
func hiding() *headermutationv3.HeaderMutation {
	return &headermutationv3.HeaderMutation{Mutations: &headermutationv3.Mutations{
		ResponseMutations: []*mutationv3.HeaderMutation{{
			Action: &mutationv3.HeaderMutation_Remove{Remove: wire.TimesHeader},
		}},
	}}
}

// externalProcessor asks the control plane about a call and tells it the outcome.
// The control plane can reject a call, and have it routed again with a mark that says so.
func externalProcessor(requestAttributes []string) *extprocv3.ExternalProcessor {
	return &extprocv3.ExternalProcessor{
		// No timeout here: the stream lasts as long as the call.
		GrpcService: &corev3.GrpcService{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
			EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: wire.ControlPlaneCluster, SkipEnvoyHeaders: true},
		}},
		// A call that cannot ask goes on: to the service, or where its route leads to otherwise.
		FailureModeAllow:   true,
		ProcessingMode:     processingMode(extprocv3.ProcessingMode_SKIP),
		RequestAttributes:  requestAttributes,
		ResponseAttributes: responseAttributes(),
		MessageTimeout:     durationpb.New(messageTimeout),
		StatPrefix:         wire.ControlPlaneCluster,
		// Forbidding every header would take those of a rejection too: its content type, its
		// Retry-After.
		MutationRules: &mutationv3.HeaderMutationRules{DisallowSystem: wrapperspb.Bool(true)},
		ForwardRules:  &extprocv3.HeaderForwardingRules{AllowedHeaders: anyOf(forwardedHeaders())},
		// A call is routed again only if the answer asks for it: a rejected one goes to its fallback,
		// and an admitted one from the asking route to the service.
		RouteCacheAction: extprocv3.ExternalProcessor_DEFAULT,
		MetadataOptions: &extprocv3.MetadataOptions{ReceivingNamespaces: &extprocv3.MetadataOptions_MetadataNamespaces{
			Untyped: []string{wire.Namespace},
		}},
		EmitClientSpan: wrapperspb.Bool(false),
	}
}

func processingMode(responseTrailers extprocv3.ProcessingMode_HeaderSendMode) *extprocv3.ProcessingMode {
	return &extprocv3.ProcessingMode{
		RequestHeaderMode:   extprocv3.ProcessingMode_SEND,
		ResponseHeaderMode:  extprocv3.ProcessingMode_SEND,
		RequestBodyMode:     extprocv3.ProcessingMode_NONE,
		ResponseBodyMode:    extprocv3.ProcessingMode_NONE,
		RequestTrailerMode:  extprocv3.ProcessingMode_SKIP,
		ResponseTrailerMode: responseTrailers,
	}
}
