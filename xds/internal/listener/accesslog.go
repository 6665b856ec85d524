package listener

import (
	"math"
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	grpclogv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/grpc/v3"
	tracingv3 "github.com/envoyproxy/go-control-plane/envoy/type/tracing/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"breakwater.dev/wire"
	"breakwater.dev/xds/internal/message"
)

const (
	// LoggedStatus is the lowest HTTP status that is logged where the runtime has no [wire.LogStatus].
	LoggedStatus = 500
	// LoggedSlow is the shortest duration that is logged where the runtime has no [wire.LogSlow].
	LoggedSlow = 2 * time.Second

	// flushInterval is the longest time that an outcome waits in a proxy. It is most of the time from a failure to a gate;
	// below 20 ms the messages begin to cost more than the entries.
	flushInterval = 50 * time.Millisecond
)

// LoggedRunning returns the durations between which requests that have not ended are logged, where the runtime has no
// [wire.LogRunning] for that window.
func LoggedRunning(window int) (from, until time.Duration) {
	if window > 0 {
		return math.MaxUint32 * time.Millisecond, math.MaxUint32 * time.Millisecond // no request
	}
	return LoggedSlow, LoggedSlow + wire.RunningSpan
}

// requestLog reports requests to the control plane after they have ended, and those that hang while they do. It is there
// whatever the policy says, since a listener that changes drains its connections: runtime keys say what the policy needs to
// have logged.
//
// The order of its filter matters. A healthy request fails each test, so the cheapest tests come first. A rejected request
// passes the test of the status, is kept out by CEL, and must not pay for more. The control plane has counted the requests
// that it has rejected itself. The requests that the proxy rejects are counted from a marked sample.
func requestLog() (*accesslogv3.AccessLog, error) {
	answered, err := celFilter("response.code_details != 'direct_response' && response.code_details != '" + wire.RejectedDetails + "'")
	if err != nil {
		return nil, err
	}
	service := logService(wire.RequestLog)
	service.CustomTags = []*tracingv3.CustomTag{{
		Tag: wire.RunningTag, Type: &tracingv3.CustomTag_Value{Value: wire.RunningFormat},
	}}
	config, err := message.Pack(&grpclogv3.HttpGrpcAccessLogConfig{
		CommonConfig: service,
		// These headers distinguish gRPC, sockets and event streams from other requests, and say the deadline of a client
		// and the outcome of a gRPC request. Entries have the times that matter anyway.
		AdditionalRequestHeadersToLog:   []string{"content-type", "grpc-timeout", "upgrade"},
		AdditionalResponseHeadersToLog:  []string{"content-type", "grpc-status"},
		AdditionalResponseTrailersToLog: []string{"grpc-status"},
	})
	if err != nil {
		return nil, err
	}
	return &accesslogv3.AccessLog{
		Name:       "envoy.access_loggers.http_grpc",
		ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: config},
		Filter: anyFilter(
			allFilters(running(false), anyFilter(
				marked(wire.LoggedKey),
				allFilters(status(accesslogv3.ComparisonFilter_GE, LoggedStatus, wire.LogStatus), answered),
				lasted(LoggedSlow, wire.LogSlow),
				// Rejected requests are spared the tests below, unless the fallback is no error.
				allFilters(status(accesslogv3.ComparisonFilter_LE, LoggedStatus-1, wire.LogBelow), anyFilter(
					flagged(wire.FailureFlags()),
					allFilters(grpcRequest(), grpcFailed(), answered), // to a gRPC client, a rejection is a 200 too
					allFilters(flagged(wire.CallerLeftFlags()), switchedOn(wire.LogGone)),
				)),
			)),
			// Requests without a response, at each look at them. Requests that were answered, such as streams, fail the first test.
			allFilters(running(true), status(accesslogv3.ComparisonFilter_EQ, 0, wire.LogWaiting), anyFilter(append(slow(),
				allFilters(lasted(wire.UploadTime, wire.LogWaiting), marked(wire.ProbeKey)), // which may wait for the end of their request
			)...)),
		),
	}, nil
}

// slow matches the requests that have lasted for as long as one of the windows says.
func slow() (windows []*accesslogv3.AccessLogFilter) {
	for i := range wire.RunningWindows {
		from, until := LoggedRunning(i)
		fromKey, untilKey := wire.LogRunning(i)
		windows = append(windows, allFilters(lasted(from, fromKey), duration(accesslogv3.ComparisonFilter_LE, until, untilKey)))
	}
	return windows
}

// connectionLog reports each connection to an upstream when it is established, and when it has ended. The name of the log
// says the upstream, since the entry of a refused connection does not.
func connectionLog(upstream string) (*accesslogv3.AccessLog, error) {
	config, err := message.Pack(&grpclogv3.TcpGrpcAccessLogConfig{CommonConfig: logService(wire.ConnectionLog(upstream))})
	if err != nil {
		return nil, err
	}
	return &accesslogv3.AccessLog{
		Name:       "envoy.access_loggers.tcp_grpc",
		ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: config},
	}, nil
}

// logService sends a log to the control plane.
func logService(name string) *grpclogv3.CommonGrpcAccessLogConfig {
	return &grpclogv3.CommonGrpcAccessLogConfig{
		LogName: name,
		GrpcService: &corev3.GrpcService{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
			EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: wire.ControlPlaneCluster, SkipEnvoyHeaders: true},
		}},
		TransportApiVersion: corev3.ApiVersion_V3,
		BufferFlushInterval: durationpb.New(flushInterval),
	}
}
