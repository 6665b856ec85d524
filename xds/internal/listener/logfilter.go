package listener

import (
	"slices"
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	dataaccesslogv3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	celv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/filters/cel/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"breakwater.dev/wire"
	"breakwater.dev/xds/internal/filter"
	"breakwater.dev/xds/internal/message"
)

// running matches requests that have not ended yet, or with false those that have.
func running(yes bool) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_LogTypeFilter{
		LogTypeFilter: &accesslogv3.LogTypeFilter{
			Types: []dataaccesslogv3.AccessLogType{dataaccesslogv3.AccessLogType_DownstreamPeriodic}, Exclude: !yes,
		},
	}}
}

// switchedOn matches every request while a runtime key is at 100 %, and none without it.
func switchedOn(key wire.RuntimeKey) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_RuntimeFilter{
		RuntimeFilter: &accesslogv3.RuntimeFilter{RuntimeKey: string(key), PercentSampled: &typev3.FractionalPercent{}},
	}}
}

// marked matches requests with one of our marks.
func marked(key string) *accesslogv3.AccessLogFilter {
	matcher := filter.Marked(key)
	if key == wire.ProbeKey { // its value says which probe
		matcher.Value = &matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_PresentMatch{PresentMatch: true}}
	}
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_MetadataFilter{
		MetadataFilter: &accesslogv3.MetadataFilter{Matcher: matcher, MatchIfKeyNotFound: wrapperspb.Bool(false)},
	}}
}

// compared compares with a number that a runtime key can replace.
func compared(op accesslogv3.ComparisonFilter_Op, value uint32, key wire.RuntimeKey) *accesslogv3.ComparisonFilter {
	return &accesslogv3.ComparisonFilter{
		Op: op, Value: &corev3.RuntimeUInt32{DefaultValue: value, RuntimeKey: string(key)},
	}
}

// status matches requests by the HTTP status of the response; 0: there is none.
func status(op accesslogv3.ComparisonFilter_Op, code uint32, key wire.RuntimeKey) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_StatusCodeFilter{
		StatusCodeFilter: &accesslogv3.StatusCodeFilter{Comparison: compared(op, code, key)},
	}}
}

// lasted matches requests that took at least d, in whole milliseconds, or have lasted for as long so far.
func lasted(d time.Duration, key wire.RuntimeKey) *accesslogv3.AccessLogFilter {
	return duration(accesslogv3.ComparisonFilter_GE, d, key)
}

// duration compares how long requests took, or have lasted so far, in whole milliseconds.
func duration(op accesslogv3.ComparisonFilter_Op, d time.Duration, key wire.RuntimeKey) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_DurationFilter{
		DurationFilter: &accesslogv3.DurationFilter{Comparison: compared(op, uint32(d.Milliseconds()), key)},
	}}
}

// flagged matches requests with any of the response flags, by their names in Envoy's text logs.
func flagged(flags []string) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_ResponseFlagFilter{
		ResponseFlagFilter: &accesslogv3.ResponseFlagFilter{Flags: slices.Clone(flags)},
	}}
}

// grpcFailed matches requests whose gRPC status is not OK.
func grpcFailed() *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_GrpcStatusFilter{
		GrpcStatusFilter: &accesslogv3.GrpcStatusFilter{
			Statuses: []accesslogv3.GrpcStatusFilter_Status{accesslogv3.GrpcStatusFilter_OK}, Exclude: true,
		},
	}}
}

// grpcRequest matches the requests that Envoy itself regards as gRPC. gRPC-Web is not among them.
func grpcRequest() *accesslogv3.AccessLogFilter {
	return header("content-type", message.Matching(`application/grpc(\+.*)?`))
}

// header matches requests by a header.
func header(name string, value *matcherv3.StringMatcher) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_HeaderFilter{
		HeaderFilter: &accesslogv3.HeaderFilter{Header: &routev3.HeaderMatcher{
			Name:                 name,
			HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: value},
		}},
	}}
}

// celFilter matches requests for which a CEL expression is true.
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
