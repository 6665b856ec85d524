package feed

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	alsv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	grpcstatus "google.golang.org/grpc/status"

	"breakwater.dev/breaker"
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
			for err == nil {
				err = stream.Send(identified("one", wire.RequestLog)) // until the end has arrived
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
	const messages = 3 * queueLength
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
	if got.Reported+got.Dropped != 2*messages || got.Dropped < 2*(messages-queueLength-2) {
		t.Errorf("%d reported and %d dropped, want %d together", got.Reported, got.Dropped, 2*messages)
	}
	if left := r.server.backlog.Load(); left != 0 {
		t.Errorf("%d bytes are still waiting", left)
	}
}

// message is a message of a size that begins with a number.
func message(number byte, size int) mem.Buffer {
	return mem.SliceBuffer(append([]byte{number}, make([]byte, size-1)...))
}

// TestQueueKeepsTheFreshest: a stream has a bound in bytes and in messages, and drops what has waited longest.
func TestQueueKeepsTheFreshest(t *testing.T) {
	for name, tt := range map[string]struct {
		size, fit int
	}{
		"bytes":    {1 << 20, maxStreamBacklog >> 20},
		"messages": {16, queueLength},
	} {
		r := newRig(t)
		q := newQueue(&r.server.backlog)
		var dropped []byte
		for i := range tt.fit + 3 {
			q.push(message(byte(i), tt.size), 0, func(b mem.Buffer) { dropped = append(dropped, b.ReadOnlyData()[0]) })
		}
		if want := []byte{0, 1, 2}; !slices.Equal(dropped, want) {
			t.Errorf("%s: messages %v are dropped, want %v", name, dropped, want)
		}
		if first := <-q.waiting; first.data.ReadOnlyData()[0] != 3 {
			t.Errorf("%s: message %d comes first, want 3", name, first.data.ReadOnlyData()[0])
		}
		if got, want := r.server.backlog.Load(), int64(tt.fit*tt.size); got != want || q.own.Load() != want {
			t.Errorf("%s: %d bytes wait, want %d", name, got, want)
		}
	}
}

// TestQueuesShareTheirBound: all streams together have a bound, and a quiet stream has room beside any number of busy ones.
func TestQueuesShareTheirBound(t *testing.T) {
	for _, busy := range []int{1, 8, 64} {
		r := newRig(t)
		dropped := 0
		drop := func(mem.Buffer) { dropped++ }
		queues := make([]*queue, busy)
		for i := range queues {
			queues[i] = newQueue(&r.server.backlog)
		}
		for range 2 * queueLength {
			for _, q := range queues {
				q.push(message(0, 16<<10), 0, drop)
			}
		}
		if got := r.server.backlog.Load(); got > maxBacklog || got < 7<<20 {
			t.Errorf("%d busy streams: %d bytes wait, want up to %d", busy, got, maxBacklog)
		}
		dropped = 0
		quiet := newQueue(&r.server.backlog)
		for range 8 {
			quiet.push(message(0, 16<<10), 0, drop)
		}
		if dropped > 0 {
			t.Errorf("%d busy streams: %d messages of a quiet one are dropped", busy, dropped)
		}
	}
}

// TestMessageWithoutRoom: a message that does not fit into an empty queue is dropped itself.
func TestMessageWithoutRoom(t *testing.T) {
	r := newRig(t)
	r.server.backlog.Store(maxBacklog)
	var dropped []mem.Buffer
	q := newQueue(&r.server.backlog)
	q.push(message(0, 16), 0, func(b mem.Buffer) { dropped = append(dropped, b) })
	if len(dropped) != 1 || len(q.waiting) != 0 || q.own.Load() != 0 || r.server.backlog.Load() != maxBacklog {
		t.Errorf("%d are dropped and %d wait, want one dropped", len(dropped), len(q.waiting))
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
