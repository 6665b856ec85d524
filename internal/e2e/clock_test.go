package e2e

import (
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	alsv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"breakwater.dev/breaker"
	"breakwater.dev/wire"
)

// logStream is a proxy's access log of calls to "payments". The proxy's clock can be wrong.
type logStream struct {
	alsv3.AccessLogService_StreamAccessLogsClient
	node string
	off  time.Duration // how far the proxy's clock is ahead
}

// logStream opens the access log of a proxy.
func (m *mesh) logStream(t *testing.T, node string) *logStream {
	t.Helper()
	conn, err := grpc.NewClient(m.ip+":18000", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	stream, err := alsv3.NewAccessLogServiceClient(conn).StreamAccessLogs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := &logStream{AccessLogService_StreamAccessLogsClient: stream, node: node}
	err = s.Send(&alsv3.StreamAccessLogsMessage{Identifier: &alsv3.StreamAccessLogsMessage_Identifier{
		Node: &corev3.Node{Id: node}, LogName: wire.RequestLog,
	}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// call logs a call that has just ended.
func (s *logStream) call(t *testing.T, status uint32) {
	t.Helper()
	const took = 5 * time.Millisecond
	entry := &datav3.HTTPAccessLogEntry{
		CommonProperties: &datav3.AccessLogCommon{
			StartTime: timestamppb.New(time.Now().Add(s.off - took)), Duration: durationpb.New(took),
			TimeToLastRxByte: durationpb.New(0), TimeToFirstUpstreamRxByte: durationpb.New(took),
			RouteName: wire.RouteName(breaker.Key{Upstream: "payments"}, wire.RouteSampled), UpstreamRequestAttemptCount: 1, AccessLogType: datav3.AccessLogType_DownstreamEnd,
		},
		Response: &datav3.HTTPResponseProperties{ResponseCode: wrapperspb.UInt32(status), ResponseCodeDetails: "via_upstream"},
	}
	err := s.Send(&alsv3.StreamAccessLogsMessage{LogEntries: &alsv3.StreamAccessLogsMessage_HttpLogs{
		HttpLogs: &alsv3.StreamAccessLogsMessage_HTTPAccessLogEntries{LogEntry: []*datav3.HTTPAccessLogEntry{entry}},
	}})
	if err != nil {
		t.Fatal(err)
	}
}

// TestProxyWhoseClockIsSet shows that a breaker trips by the failures that a proxy reports, even after the proxy's clock was
// set, and after another process has reported calls in the proxy's name.
func TestProxyWhoseClockIsSet(t *testing.T) {
	t.Parallel()
	for name, happens := range map[string]func(t *testing.T, m *mesh, s *logStream){
		"back by an hour":    func(_ *testing.T, _ *mesh, s *logStream) { s.off = -time.Hour },
		"back by 12 seconds": func(_ *testing.T, _ *mesh, s *logStream) { s.off = -12 * time.Second },
		"forward by an hour": func(_ *testing.T, _ *mesh, s *logStream) { s.off = time.Hour },
		"forward and back":   func(t *testing.T, _ *mesh, s *logStream) { s.off = time.Hour; s.call(t, 200); s.off = 0 },
		"another in its name": func(t *testing.T, m *mesh, s *logStream) {
			o := m.logStream(t, s.node)
			o.off = time.Hour
			o.call(t, 200)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ip := ownIP(t)
			m := prepareMesh(t, ip, service("payments", ip+":9")+adaptive("payments",
				"breaker: {consecutiveFailures: 0, failureRateThreshold: 50%, minimumNumberOfCalls: 20, slidingWindow: {type: TimeBased, duration: 10s}, waitDurationInOpenState: 1h}"))
			m.startControl(t)
			s := m.logStream(t, "shop-1")
			for range 20 {
				s.call(t, 200)
			}
			m.counted(t, "payments", "successes", 20)
			happens(t, m, s)
			calls := 0
			began := time.Now()
			eventually(t, "failures trip the breaker", func() error {
				s.call(t, 500)
				calls++
				return m.inState(t, "payments", "open")
			})
			if took := time.Since(began); took > 15*time.Second {
				t.Errorf("the breaker tripped after %s and %d failures, want at most 15 s", took, calls)
			}
		})
	}
}
