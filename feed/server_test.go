package feed

import (
	"context"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	alsv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"breakwater.dev/breaker"
	"breakwater.dev/feed/internal/backlog"
	"breakwater.dev/policy"
	"breakwater.dev/wire"
)

var emptySet = &policy.Set{}

// identified is a message that names its proxy and log, with entries of requests.
func identified(node, log string, entries ...*datav3.HTTPAccessLogEntry) *alsv3.StreamAccessLogsMessage {
	return &alsv3.StreamAccessLogsMessage{
		Identifier: &alsv3.StreamAccessLogsMessage_Identifier{Node: &corev3.Node{Id: node, Cluster: "shop"}, LogName: log},
		LogEntries: &alsv3.StreamAccessLogsMessage_HttpLogs{
			HttpLogs: &alsv3.StreamAccessLogsMessage_HTTPAccessLogEntries{LogEntry: entries},
		},
	}
}

// TestStream: entries that come over a real connection are counted, and the stream ends without an error.
func TestStream(t *testing.T) {
	r := newRig(t)
	stream, err := r.client().StreamAccessLogs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []*alsv3.StreamAccessLogsMessage{
		identified("one", wire.RequestLog, r.logged(route("web", wire.RouteSampled), nil), r.logged(route("web", wire.RouteSampled), answered(500))),
		{LogEntries: &alsv3.StreamAccessLogsMessage_HttpLogs{HttpLogs: &alsv3.StreamAccessLogsMessage_HTTPAccessLogEntries{
			LogEntry: []*datav3.HTTPAccessLogEntry{r.logged(route("web", wire.RouteProbe), nil), r.logged(route("web", wire.RouteCounted), nil)},
		}}},
	} {
		if err := stream.Send(m); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := stream.CloseAndRecv(); err != nil {
		t.Errorf("error %v, want none", err)
	}
	r.want("web", breaker.Counts{Requests: 3, Successes: 1, Failures: 1, Rejected: 1})
	got := r.server.Counts()
	if got.Messages != 2 || got.Bytes == 0 || got.Reported != 2 || got.Rejected != 1 || got.Skipped != 1 || got.Streams != 0 {
		t.Errorf("counts %+v, want 2 messages with 2 reported, 1 rejected and 1 skipped", got)
	}
}

// TestStreamsThatAreRefused end with an error that says that the message is invalid.
func TestStreamsThatAreRefused(t *testing.T) {
	malformed := identified("one", wire.RequestLog, &datav3.HTTPAccessLogEntry{})
	malformed.ProtoReflect().SetUnknown([]byte{0x12, 0x03, 0x0a, 0x01, 0xff}) // http_logs {log_entry: a tag without a field}
	for name, m := range map[string]*alsv3.StreamAccessLogsMessage{
		"no id":             identified("", wire.RequestLog),
		"no identifier":     {},
		"another log":       identified("one", "another"),
		"a long id":         identified(strings.Repeat("x", wire.MaxNodeID+1), wire.RequestLog),
		"an unprintable id": identified("one\x00", wire.RequestLog),
		"a malformed entry": malformed,
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			stream, err := r.client().StreamAccessLogs(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := stream.Send(m); err != nil {
				t.Fatal(err)
			}
			if err := refusal(stream); grpcstatus.Code(err) != codes.InvalidArgument {
				t.Errorf("error %v, want InvalidArgument", err)
			}
			if got := r.server.Counts(); got.Invalid != 1 || got.Streams != 0 {
				t.Errorf("counts %+v, want one invalid message", got)
			}
		})
	}
}

// refusal returns how the server ends a stream. A server that finds a message malformed ends the stream when the next one comes, and
// a flood of them could make it drop the malformed one unread.
func refusal(stream alsv3.AccessLogService_StreamAccessLogsClient) error {
	ended := make(chan error, 1)
	go func() { ended <- stream.RecvMsg(&alsv3.StreamAccessLogsResponse{}) }()
	next := time.NewTicker(time.Millisecond)
	defer next.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-next.C:
			_ = stream.Send(identified("one", wire.RequestLog)) // fails when the end has arrived, which has the reason
		}
	}
}

// TestSlowEngineLosesEntries: while the counting is slow, old entries are dropped, the drops are counted, and the proxy
// never waits.
func TestSlowEngineLosesEntries(t *testing.T) {
	r := newRig(t)
	busy := make(chan struct{})
	r.server.options.Observe = func(breaker.Key, time.Duration, time.Duration, uint64) { <-busy }
	stream, err := r.client().StreamAccessLogs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const messages = 3 * backlog.Length
	call := r.logged(route("web", wire.RouteSampled), nil)
	for range messages {
		if err := stream.Send(identified("one", wire.RequestLog, call, call)); err != nil {
			t.Fatal(err)
		}
	}
	r.eventually("all are received", func() bool { return r.server.Counts().Messages == messages })
	r.eventually("some are dropped", func() bool { return r.server.Counts().Dropped > 0 })
	close(busy)
	if _, err := stream.CloseAndRecv(); err != nil {
		t.Errorf("error %v, want none", err)
	}
	got := r.server.Counts()
	if got.Reported+got.Dropped != 2*messages || got.Dropped < 2*(messages-backlog.Length-2) {
		t.Errorf("%d reported and %d dropped, want %d together", got.Reported, got.Dropped, 2*messages)
	}
	if left := r.server.backlog.Bytes(); left != 0 {
		t.Errorf("%d bytes are still waiting", left)
	}
}

// TestProxyThatLeaves: a stream that is reset ends without an error, and is no longer counted.
func TestProxyThatLeaves(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := r.client().StreamAccessLogs(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(identified("one", wire.RequestLog, r.logged(route("web", wire.RouteSampled), nil))); err != nil {
		t.Fatal(err)
	}
	r.eventually("it is there", func() bool { return r.server.Counts().Streams == 1 && r.server.Counts().Reported == 1 })
	cancel()
	r.eventually("it has left", func() bool { return r.server.Counts().Streams == 0 })
}
