package listener

import (
	"net/netip"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"breakwater.dev/wire"
	"breakwater.dev/xds/internal/connect"
	"breakwater.dev/xds/internal/filter"
	"breakwater.dev/xds/internal/message"
)

// Egress returns the listener to which applications send their requests, either with their usual Host header or as to an
// HTTP proxy.
func Egress(listen netip.AddrPort, replicas bool) (*listenerv3.Listener, error) {
	manager, err := connectionManager(replicas)
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
			Name:       "envoy.filters.network.http_connection_manager",
			ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed},
		}}}},
	}, nil
}

// connectionManager leaves requests as applications made them. Their peer is the upstream, and neither end should notice
// the proxy.
func connectionManager(replicas bool) (*hcmv3.HttpConnectionManager, error) {
	filters, err := filter.Chain(replicas)
	if err != nil {
		return nil, err
	}
	log, err := requestLog()
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
			ConfigSource: connect.OverADS(), RouteConfigName: wire.RoutesName,
		}},
		HttpFilters: filters,
		AccessLog:   []*accesslogv3.AccessLog{log},
		AccessLogOptions: &hcmv3.HttpConnectionManager_HcmAccessLogOptions{
			AccessLogFlushInterval: durationpb.New(wire.RunningInterval),
		},
		HttpProtocolOptions: &corev3.Http1ProtocolOptions{
			AllowAbsoluteUrl: wrapperspb.Bool(true), // "GET http://payments/ HTTP/1.1", as to a proxy
			AcceptHttp_10:    true,
			EnableTrailers:   true,
			// A server that does not know the protocol to upgrade to answers as if it had not been asked (RFC 9110
			// section 7.8). Envoy's answer would be a 403.
			IgnoreHttp_11Upgrade: otherThan(wire.Websocket),
		},
		ServerHeaderTransformation: hcmv3.HttpConnectionManager_PASS_THROUGH,
		// The scheme is the upstream connection's: applications speak plain text up to here.
		SchemeHeaderTransformation: &corev3.SchemeHeaderTransformation{MatchUpstream: true},
		// No x-forwarded-for: the application is the caller, on the same host. It writes that header and
		// x-forwarded-client-cert for its service, so both go on unchanged.
		UseRemoteAddress:              wrapperspb.Bool(false),
		SkipXffAppend:                 true,
		OriginalIpDetectionExtensions: claims,
		EarlyHeaderMutationExtensions: steering,
		ForwardClientCertDetails:      hcmv3.HttpConnectionManager_ALWAYS_FORWARD_ONLY,
		GenerateRequestId:             wrapperspb.Bool(false),
		// "payments.shop.svc.cluster.local." is the same host: the dot spares a resolver the search domains.
		StripTrailingHostDot: true,
		// Paths go through untouched. Nothing here authorizes by path, so there is nothing to evade, and a rewritten path
		// breaks signatures over it.
		NormalizePath:                wrapperspb.Bool(false),
		PathWithEscapedSlashesAction: hcmv3.HttpConnectionManager_KEEP_UNCHANGED,
		UpgradeConfigs:               []*hcmv3.HttpConnectionManager_UpgradeConfig{{UpgradeType: wire.Websocket}},
		StreamIdleTimeout:            durationpb.New(filter.StreamIdleTimeout),
		LocalReplyConfig:             localReplies(),
	}, nil
}
