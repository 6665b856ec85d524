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
	"google.golang.org/grpc/mem"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"breakwater.dev/breaker"
	"breakwater.dev/policy"
	"breakwater.dev/wire"
)

var emptySet = &policy.Set{}

func introduced(node, log string, calls ...*datav3.HTTPAccessLogEntry) *alsv3.StreamAccessLogsMessage {
	return &alsv3.StreamAccessLogsMessage{
		Identifier: &alsv3.StreamAccessLogsMessage_Identifier{Node: &corev3.Node{Id: node, Cluster: "shop"}, LogName: log},
		LogEntries: &alsv3.StreamAccessLogsMessage_HttpLogs{
			HttpLogs: &alsv3.StreamAccessLogsMessage_HTTPAccessLogEntries{LogEntry: calls},
		},
	}
}

// TestStream: what comes over a real connection counts, and the stream ends well.
func TestStream(t *testing.T) {
	r := newRig(t)
	stream, err := r.client().StreamAccessLogs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []*alsv3.StreamAccessLogsMessage{
		introduced("one", wire.RequestLog, r.logged(route("web", wire.RouteSampled), nil), r.logged(route("web", wire.RouteSampled), answered(500))),
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

// TestStreamsThatAreRefused say why.
func TestStreamsThatAreRefused(t *testing.T) {
	for name, m := range map[string]*alsv3.StreamAccessLogsMessage{
		"nobody":         introduced("", wire.RequestLog),
		"nothing":        {},
		"another log":    introduced("one", "somebody-elses"),
		"a long name":    introduced(strings.Repeat("x", wire.MaxNodeID+1), wire.RequestLog),
		"unprintable":    introduced("one\x00", wire.RequestLog),
		"a broken entry": {Identifier: introduced("one", wire.RequestLog).GetIdentifier()},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			stream, err := r.client().StreamAccessLogs(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if name == "a broken entry" {
				if err := proto.Unmarshal([]byte{}, m); err != nil {
					t.Fatal(err)
				}
				m = introduced("one", wire.RequestLog, &datav3.HTTPAccessLogEntry{})
				m.ProtoReflect().SetUnknown([]byte{0x12, 0x03, 0x0a, 0x01, 0xff}) // http_logs {log_entry: a tag without a field}
			}
			if err := stream.Send(m); err != nil {
				t.Fatal(err)
			}
			for err == nil {
				err = stream.Send(introduced("one", wire.RequestLog)) // until the end is heard of
			}
			if _, err := stream.CloseAndRecv(); grpcstatus.Code(err) != codes.InvalidArgument {
				t.Errorf("error %v, want InvalidArgument", err)
			}
			if got := r.server.Counts(); got.Invalid != 1 || got.Streams != 0 {
				t.Errorf("counts %+v, want one invalid message", got)
			}
		})
	}
}

// TestSlowEngineLosesEntries: who works is slow, so what comes is dropped and counted, and the
// proxy never waits.
func TestSlowEngineLosesEntries(t *testing.T) {
	r := newRig(t)
	busy := make(chan struct{})
	r.server.options.Observe = func(breaker.Key, time.Duration, time.Duration, uint64) { <-busy }
	stream, err := r.client().StreamAccessLogs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const messages = 3 * queueLength
	call := r.logged(route("web", wire.RouteSampled), nil)
	for range messages {
		if err := stream.Send(introduced("one", wire.RequestLog, call, call)); err != nil {
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
	if got.Reported+got.Dropped != 2*messages || got.Dropped < 2*(messages-queueLength-2) {
		t.Errorf("%d reported and %d dropped, want %d together", got.Reported, got.Dropped, 2*messages)
	}
	if left := r.server.backlog.Load(); left != 0 {
		t.Errorf("%d bytes are still waiting", left)
	}
}

// TestQueueIsBoundedInBytes, for one stream and for all of them.
func TestQueueIsBoundedInBytes(t *testing.T) {
	r := newRig(t)
	q := newQueue(&r.server.backlog)
	mebibyte := mem.SliceBuffer(make([]byte, 1<<20))
	for range maxStreamBacklog >> 20 {
		if !q.push(mebibyte, 0) {
			t.Fatal("a message was refused that fits")
		}
	}
	if q.push(mebibyte, 0) {
		t.Error("a message was taken that does not fit")
	}
	r.server.backlog.Store(maxBacklog)
	if newQueue(&r.server.backlog).push(mebibyte, 0) {
		t.Error("a message was taken that does not fit with those of other streams")
	}
}

// TestClientThatLeaves is no error, and is forgotten.
func TestClientThatLeaves(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := r.client().StreamAccessLogs(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(introduced("one", wire.RequestLog, r.logged(route("web", wire.RouteSampled), nil))); err != nil {
		t.Fatal(err)
	}
	r.eventually("it is there", func() bool { return r.server.Counts().Streams == 1 && r.server.Counts().Reported == 1 })
	cancel()
	r.eventually("it is gone", func() bool { return r.server.Counts().Streams == 0 })
}
