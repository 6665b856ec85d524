package xds

import (
	"slices"
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	dataaccesslogv3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	celv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/filters/cel/v3"
	grpclogv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/grpc/v3"
	setmetadatav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_metadata/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"breakwater.dev/wire"
	"breakwater.dev/xds/internal/message"
)

const (
	// markFilter marks calls for the log, on routes that turn it on. A request header
	// could do the same, but would reach the upstream, and clients could forge it.
	markFilter     = "envoy.filters.http.set_metadata"
	httpGRPCLogger = "envoy.access_loggers.http_grpc"
	tcpGRPCLogger  = "envoy.access_loggers.tcp_grpc"

	// flushInterval is how long an outcome waits in a proxy at most. It is most of the time
	// from a failure to a gate; below 20 ms the messages begin to cost more than the entries.
	flushInterval = 50 * time.Millisecond
)

// accessLog tells the control plane of calls, afterwards. It is there whatever the
// policy, since a listener that changes drains its connections: what the policy wants to
// know is in runtime keys.
//
// The order of its filter counts. A healthy call fails each test, so the cheapest come
// first; a rejected one passes the status and is kept out by CEL, and must not pay for more.
func accessLog() (*accesslogv3.AccessLog, error) {
	answered, err := celFilter("response.code_details != 'direct_response'")
	if err != nil {
		return nil, err
	}
	config, err := message.Pack(&grpclogv3.HttpGrpcAccessLogConfig{
		CommonConfig: grpcLog(wire.RequestLog),
		// What tells gRPC calls from others, the patience of their clients, sockets and event
		// streams, and what became of a gRPC call. Entries have the times that matter anyway.
		AdditionalRequestHeadersToLog:   []string{"content-type", "grpc-timeout", "upgrade"},
		AdditionalResponseHeadersToLog:  []string{"content-type", "grpc-status"},
		AdditionalResponseTrailersToLog: []string{"grpc-status"},
	})
	if err != nil {
		return nil, err
	}
	return &accesslogv3.AccessLog{
		Name:       httpGRPCLogger,
		ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: config},
		Filter: anyFilter(
			allFilters(running(false), anyFilter(
				marked(wire.LoggedKey),
				allFilters(status(accesslogv3.ComparisonFilter_GE, defaultStatus, wire.LogStatus), answered),
				lasted(defaultSlow, wire.LogSlow),
				// Rejected calls are spared what follows, unless the fallback is no error.
				allFilters(status(accesslogv3.ComparisonFilter_LE, defaultStatus-1, wire.LogBelow), anyFilter(
					flagged(wire.FailureFlags()),
					allFilters(grpcRequest(), grpcFailed()),
					allFilters(flagged(wire.CallerLeftFlags()), switchedOn(wire.LogGone)),
				)),
			)),
			// Probes that wait for the end of their request, or for a response.
			allFilters(running(true), status(accesslogv3.ComparisonFilter_EQ, 0, wire.LogWaiting), marked(wire.ProbeKey)),
		),
	}, nil
}

// running matches entries of calls that have not ended yet, or those of calls that have.
func running(yes bool) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_LogTypeFilter{
		LogTypeFilter: &accesslogv3.LogTypeFilter{
			Types: []dataaccesslogv3.AccessLogType{dataaccesslogv3.AccessLogType_DownstreamPeriodic}, Exclude: !yes,
		},
	}}
}

// switchedOn matches everything while a runtime key is at 100 %, and nothing without it.
func switchedOn(key wire.RuntimeKey) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_RuntimeFilter{
		RuntimeFilter: &accesslogv3.RuntimeFilter{RuntimeKey: string(key), PercentSampled: &typev3.FractionalPercent{}},
	}}
}

// tcpAccessLog tells of each connection when it is established, and when it has ended. Its
// name tells the upstream, as the entry of a connection that was not let through does not.
func tcpAccessLog(upstream string) (*accesslogv3.AccessLog, error) {
	config, err := message.Pack(&grpclogv3.TcpGrpcAccessLogConfig{CommonConfig: grpcLog(wire.ConnectionLog(upstream))})
	if err != nil {
		return nil, err
	}
	return &accesslogv3.AccessLog{
		Name:       tcpGRPCLogger,
		ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: config},
	}, nil
}

func grpcLog(name string) *grpclogv3.CommonGrpcAccessLogConfig {
	return &grpclogv3.CommonGrpcAccessLogConfig{
		LogName: name,
		GrpcService: &corev3.GrpcService{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
			EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: wire.ControlPlaneCluster, SkipEnvoyHeaders: true},
		}},
		TransportApiVersion: corev3.ApiVersion_V3,
		BufferFlushInterval: durationpb.New(flushInterval),
	}
}

// marker is the filter that marks calls; routes turn it on.
func marker() *setmetadatav3.Config {
	return &setmetadatav3.Config{Metadata: []*setmetadatav3.Metadata{{
		MetadataNamespace: wire.Namespace,
		Value: &structpb.Struct{Fields: map[string]*structpb.Value{
			wire.LoggedKey: structpb.NewBoolValue(true),
		}},
	}}}
}

// marked matches calls with one of our marks.
func marked(key string) *accesslogv3.AccessLogFilter {
	matcher := metadataIsTrue(key)
	if key == wire.ProbeKey { // its value says which probe
		matcher.Value = &matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_PresentMatch{PresentMatch: true}}
	}
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_MetadataFilter{
		MetadataFilter: &accesslogv3.MetadataFilter{Matcher: matcher, MatchIfKeyNotFound: wrapperspb.Bool(false)},
	}}
}

// metadataIsTrue matches calls with one of our marks.
func metadataIsTrue(key string) *matcherv3.MetadataMatcher {
	return &matcherv3.MetadataMatcher{
		Filter: wire.Namespace,
		Path: []*matcherv3.MetadataMatcher_PathSegment{{
			Segment: &matcherv3.MetadataMatcher_PathSegment_Key{Key: key},
		}},
		Value: &matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_BoolMatch{BoolMatch: true}},
	}
}

func compared(op accesslogv3.ComparisonFilter_Op, value uint32, key wire.RuntimeKey) *accesslogv3.ComparisonFilter {
	return &accesslogv3.ComparisonFilter{
		Op: op, Value: &corev3.RuntimeUInt32{DefaultValue: value, RuntimeKey: string(key)},
	}
}

func status(op accesslogv3.ComparisonFilter_Op, code uint32, key wire.RuntimeKey) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_StatusCodeFilter{
		StatusCodeFilter: &accesslogv3.StatusCodeFilter{Comparison: compared(op, code, key)},
	}}
}

// lasted matches calls that took as long, in whole milliseconds.
func lasted(d time.Duration, key wire.RuntimeKey) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_DurationFilter{
		DurationFilter: &accesslogv3.DurationFilter{
			Comparison: compared(accesslogv3.ComparisonFilter_GE, uint32(d.Milliseconds()), key),
		},
	}}
}

func flagged(flags []string) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_ResponseFlagFilter{
		ResponseFlagFilter: &accesslogv3.ResponseFlagFilter{Flags: slices.Clone(flags)},
	}}
}

func grpcFailed() *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_GrpcStatusFilter{
		GrpcStatusFilter: &accesslogv3.GrpcStatusFilter{
			Statuses: []accesslogv3.GrpcStatusFilter_Status{accesslogv3.GrpcStatusFilter_OK}, Exclude: true,
		},
	}}
}

func celFilter(expression string) (*accesslogv3.AccessLogFilter, error) {
	config, err := message.Pack(&celv3.ExpressionFilter{Expression: expression})
	if err != nil {
		return nil, err
	}
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_ExtensionFilter{
		ExtensionFilter: &accesslogv3.ExtensionFilter{
			Name:       "envoy.access_loggers.extension_filters.cel",
			ConfigType: &accesslogv3.ExtensionFilter_TypedConfig{TypedConfig: config},
		},
	}}, nil
}

func anyFilter(filters ...*accesslogv3.AccessLogFilter) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_OrFilter{
		OrFilter: &accesslogv3.OrFilter{Filters: filters},
	}}
}

func allFilters(filters ...*accesslogv3.AccessLogFilter) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_AndFilter{
		AndFilter: &accesslogv3.AndFilter{Filters: filters},
	}}
}
