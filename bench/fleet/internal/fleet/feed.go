package fleet

import (
	"context"
	"fmt"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	alsv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"breakwater.dev/bench/fleet/internal/bootstrap"
	"breakwater.dev/wire"
)

// Log is the access log of one proxy.
type Log struct {
	stream alsv3.AccessLogService_StreamAccessLogsClient
	cancel context.CancelFunc
}

// OpenLog opens the access log of proxy i, over the connection that the proxy has.
func (f *Fleet) OpenLog(i int) (*Log, error) {
	p := f.proxies[i]
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := alsv3.NewAccessLogServiceClient(p.conn).StreamAccessLogs(ctx)
	if err == nil {
		err = stream.Send(&alsv3.StreamAccessLogsMessage{Identifier: &alsv3.StreamAccessLogsMessage_Identifier{
			Node: &corev3.Node{Id: p.id, Cluster: bootstrap.Workload}, LogName: wire.RequestLog,
		}})
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("the access log of %s: %w", p.id, err)
	}
	return &Log{stream, cancel}, nil
}

// Fail reports calls that have just failed: as many to each route as failures says. The routes are those that calls take
// while a breaker of the data path Adaptive is closed.
func (l *Log) Fail(routes []string, failures int) error {
	const took = time.Millisecond
	start := timestamppb.New(time.Now().Add(-took))
	entries := &alsv3.StreamAccessLogsMessage_HTTPAccessLogEntries{}
	for _, route := range routes {
		entry := &datav3.HTTPAccessLogEntry{
			CommonProperties: &datav3.AccessLogCommon{
				StartTime: start, Duration: durationpb.New(took), TimeToLastRxByte: durationpb.New(0), TimeToFirstUpstreamRxByte: durationpb.New(took),
				RouteName: route, UpstreamRequestAttemptCount: 1, AccessLogType: datav3.AccessLogType_DownstreamEnd,
			},
			Response: &datav3.HTTPResponseProperties{ResponseCode: wrapperspb.UInt32(503), ResponseCodeDetails: "via_upstream"},
		}
		for range failures {
			entries.LogEntry = append(entries.LogEntry, entry)
		}
	}
	return l.stream.Send(&alsv3.StreamAccessLogsMessage{LogEntries: &alsv3.StreamAccessLogsMessage_HttpLogs{HttpLogs: entries}})
}

// Close ends the log.
func (l *Log) Close() { l.cancel() }
