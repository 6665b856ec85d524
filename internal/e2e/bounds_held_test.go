package e2e

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	alsv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"breakwater.dev/breaker"
	"breakwater.dev/wire"
	"breakwater.dev/xds"
)

// TestBoundOnProxiesThatDoNotAcknowledge reloads a policy for proxies that read their responses and never acknowledge them.
func TestBoundOnProxiesThatDoNotAcknowledge(t *testing.T) {
	t.Parallel()
	const proxies, reloads = 500, 20
	f := newVictim(t, upstreams(300), "")
	for i := range proxies {
		st, err := discoveryv3.NewAggregatedDiscoveryServiceClient(f.from(t, fmt.Sprintf("127.0.1.%d", 1+i%100))).DeltaAggregatedResources(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := subscribe(st, &corev3.Node{Id: fmt.Sprint("a-", i), Cluster: "a"}, xds.ClusterType); err != nil {
			t.Fatal(err)
		}
		if _, err := st.Recv(); err != nil {
			t.Fatal(err)
		}
		go func() {
			_, _ = st.Recv() // blocks until the test ends, because the first response is not acknowledged
		}()
	}
	eventually(t, "all proxies are connected", func() error {
		return f.has(fmt.Sprint("\nbreakwater_xds_nodes ", proxies, "\n"))
	})
	for i := range reloads {
		text := strings.ReplaceAll(upstreams(300), "slowCallDurationThreshold: 0s", fmt.Sprintf("slowCallDurationThreshold: %dms", 100+i))
		if err := os.WriteFile(f.policy, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the policy is in force", func() error {
			if n := strings.Count(f.output(), "policy in force"); n < i+2 {
				return fmt.Errorf("the log has %d policies", n)
			}
			return nil
		})
	}
	f.survives(t)
}

// TestBoundOnMessages sends a message of 100 MB to each service.
func TestBoundOnMessages(t *testing.T) {
	t.Parallel()
	f := newVictim(t, upstreams(20), "")
	large := strings.Repeat("x", 100<<20)
	for name, send := range map[string]func(c *grpc.ClientConn) error{
		"xds": func(c *grpc.ClientConn) error {
			st, err := discoveryv3.NewAggregatedDiscoveryServiceClient(c).DeltaAggregatedResources(t.Context())
			if err != nil {
				return err
			}
			if err := subscribe(st, &corev3.Node{Id: large}, xds.ClusterType); err != nil && err != io.EOF {
				return err
			}
			_, err = st.Recv()
			return err
		},
		"ext_proc": func(c *grpc.ClientConn) error {
			st, err := askFor(t.Context(), c)
			if err != nil {
				return err
			}
			if err := st.Send(&extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_ResponseHeaders{ResponseHeaders: &extprocv3.HttpHeaders{
				Headers: &corev3.HeaderMap{Headers: []*corev3.HeaderValue{{Key: "x", RawValue: []byte(large)}}},
			}}}); err != nil && err != io.EOF {
				return err
			}
			for err == nil {
				_, err = st.Recv()
			}
			return err
		},
		"access_log": func(c *grpc.ClientConn) error {
			st, err := alsv3.NewAccessLogServiceClient(c).StreamAccessLogs(t.Context())
			if err != nil {
				return err
			}
			if err := st.Send(&alsv3.StreamAccessLogsMessage{Identifier: &alsv3.StreamAccessLogsMessage_Identifier{
				Node: &corev3.Node{Id: "a"}, LogName: large,
			}}); err != nil && err != io.EOF {
				return err
			}
			_, err = st.CloseAndRecv()
			return err
		},
	} {
		if err := send(f.from(t, attacker)); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("%s: %v, want ResourceExhausted", name, err)
		}
	}
	f.survives(t)
}

// TestBoundOnEntries has one proxy report five million calls as quickly as it can.
func TestBoundOnEntries(t *testing.T) {
	t.Parallel()
	const entries, each = 5_000_000, 10_000
	f := newVictim(t, upstreams(20), "")
	entry := &datav3.HTTPAccessLogEntry{
		CommonProperties: &datav3.AccessLogCommon{
			StartTime: timestamppb.New(time.Now()), Duration: durationpb.New(time.Millisecond),
			TimeToLastRxByte: durationpb.New(0), TimeToFirstUpstreamRxByte: durationpb.New(time.Millisecond),
			RouteName: wire.RouteName(breaker.Key{Upstream: "u0"}, wire.RouteSampled), UpstreamRequestAttemptCount: 1, AccessLogType: datav3.AccessLogType_DownstreamEnd,
		},
		Response: &datav3.HTTPResponseProperties{ResponseCode: wrapperspb.UInt32(200), ResponseCodeDetails: "via_upstream"},
	}
	all := make([]*datav3.HTTPAccessLogEntry, each)
	for i := range all {
		all[i] = entry
	}
	m := &alsv3.StreamAccessLogsMessage{
		Identifier: &alsv3.StreamAccessLogsMessage_Identifier{Node: &corev3.Node{Id: "a-0", Cluster: "a"}, LogName: wire.RequestLog},
		LogEntries: &alsv3.StreamAccessLogsMessage_HttpLogs{HttpLogs: &alsv3.StreamAccessLogsMessage_HTTPAccessLogEntries{LogEntry: all}},
	}
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	st, err := f.from(t, attacker).NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true},
		alsv3.AccessLogService_StreamAccessLogs_FullMethodName, grpc.ForceCodec(raw{}))
	if err != nil {
		t.Fatal(err)
	}
	for range entries / each {
		if err := st.SendMsg(data); err != nil {
			t.Fatal(err, st.RecvMsg(nil))
		}
	}
	eventually(t, "all messages are read", func() error {
		return f.has(fmt.Sprint("\nbreakwater_feed_messages_total ", entries/each, "\n"))
	})
	f.survives(t)
}

// raw is a codec that sends bytes as they are, so that a message that is sent often is encoded once.
type raw struct{}

func (raw) Name() string                        { return "proto" }
func (raw) Marshal(message any) ([]byte, error) { return message.([]byte), nil }
func (raw) Unmarshal([]byte, any) error         { return nil }

// has returns an error unless the metrics have a line.
func (f *victim) has(line string) error {
	page, err := fetch(f.http + "/metrics")
	if err != nil {
		return err
	}
	if !strings.Contains(page, line) {
		return fmt.Errorf("the metrics have no line %q", line)
	}
	return nil
}
