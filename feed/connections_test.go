package feed

import (
	"testing"
	"time"

	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	alsv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"breakwater.dev/breaker"
	"breakwater.dev/feed/internal/clock"
	"breakwater.dev/gate"
)

// connection is the entry of a connection, as Envoy 1.40 writes it, with a change.
func (r *rig) connection(kind datav3.AccessLogType, change func(*datav3.AccessLogCommon)) *datav3.TCPAccessLogEntry {
	c := &datav3.AccessLogCommon{
		StartTime: timestamppb.New(wall(r.now.Add(-time.Minute))), Duration: durationpb.New(time.Minute),
		UpstreamRemoteAddress: remote("10.0.0.5:5432"), AccessLogType: kind,
	}
	if kind == datav3.AccessLogType_TcpUpstreamConnected {
		c.StartTime, c.Duration = timestamppb.New(wall(r.now)), nil
	}
	if change != nil {
		change(c)
	}
	return &datav3.TCPAccessLogEntry{CommonProperties: c}
}

// connections has the worker count a message with entries of connections.
func (r *rig) connections(all ...*datav3.TCPAccessLogEntry) {
	r.t.Helper()
	r.worker.upstream = "db"
	r.message(&alsv3.StreamAccessLogsMessage{LogEntries: &alsv3.StreamAccessLogsMessage_TcpLogs{
		TcpLogs: &alsv3.StreamAccessLogsMessage_TCPAccessLogEntries{LogEntry: all},
	}})
}

// TestConnections: for the breaker, the call is to establish a connection; how the connection is used does not count.
func TestConnections(t *testing.T) {
	const connected, ended = datav3.AccessLogType_TcpUpstreamConnected, datav3.AccessLogType_TcpConnectionEnd
	r := newRig(t)
	flagged := func(f *datav3.ResponseFlags, reason string) func(*datav3.AccessLogCommon) {
		return func(c *datav3.AccessLogCommon) { c.ResponseFlags, c.UpstreamTransportFailureReason = f, reason }
	}
	full := func(c *datav3.AccessLogCommon) {
		c.ResponseFlags, c.UpstreamRemoteAddress = &datav3.ResponseFlags{UpstreamOverflow: true}, nil
	}
	r.connections(r.connection(connected, nil), r.connection(connected, nil), r.connection(connected, nil))
	if got := r.server.Links("db", "one").Connections; got != 3 {
		t.Errorf("%d connections, want 3", got)
	}
	r.connections(r.connection(ended, nil))
	r.connections(r.connection(ended, flagged(&datav3.ResponseFlags{UpstreamConnectionFailure: true, UpstreamRetryLimitExceeded: true}, "delayed connect error: Connection refused")))
	r.connections(r.connection(ended, flagged(&datav3.ResponseFlags{UpstreamConnectionFailure: true}, "connection timeout")))
	r.connections(r.connection(ended, flagged(&datav3.ResponseFlags{UpstreamConnectionTermination: true}, "")))
	r.connections(r.connection(ended, full), r.connection(datav3.AccessLogType_TcpPeriodic, nil))
	r.want("db", breaker.Counts{Requests: 7, Successes: 3, Failures: 3, Timeouts: 1, Rejected: 1})
	if got := r.server.Links("db", "one").Connections; got != 1 {
		t.Errorf("%d connections, want 1", got)
	}
	if got := r.server.Links("db", "two").Connections; got != 0 {
		t.Errorf("%d connections of an unknown proxy", got)
	}
}

// TestLinks: how many connections a proxy has, and when a client last wanted one, follows from the entries.
func TestLinks(t *testing.T) {
	const started, connected, ended = datav3.AccessLogType_TcpConnectionStart, datav3.AccessLogType_TcpUpstreamConnected, datav3.AccessLogType_TcpConnectionEnd
	r := newRig(t)
	nowhere := func(f *datav3.ResponseFlags) func(*datav3.AccessLogCommon) {
		return func(c *datav3.AccessLogCommon) { c.ResponseFlags, c.UpstreamRemoteAddress = f, nil }
	}
	refused := nowhere(&datav3.ResponseFlags{UpstreamOverflow: true})
	want := func(when string, want gate.Links) {
		t.Helper()
		if diff := cmp.Diff(want, r.server.Links("db", "one")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
	want("nothing is logged", gate.Links{})
	began := r.now
	r.connections(r.connection(started, nowhere(nil)), r.connection(started, nowhere(nil)))
	want("two are being established", gate.Links{Connecting: 2, Called: began})
	r.connections(r.connection(connected, nil), r.connection(ended, nowhere(&datav3.ResponseFlags{UpstreamConnectionFailure: true})))
	want("one is established, one failed", gate.Links{Connections: 1, Called: began, Admitted: began})
	r.now = r.now.Add(5 * time.Second)
	for range 3 {
		r.connections(r.connection(started, nowhere(nil)), r.connection(ended, refused))
	}
	want("refused", gate.Links{Connections: 1, Called: r.now, Admitted: began, Refused: r.now, Pause: 5 * time.Second})
	called := r.now
	r.now = r.now.Add(3 * time.Second)
	r.connections(r.connection(ended, nil))
	want("the established one has ended", gate.Links{Called: called, Admitted: began, Refused: called, Pause: 5 * time.Second})
	r.connections(r.connection(ended, refused))
	want("a proxy that logs no starts", gate.Links{Called: r.now, Admitted: began, Refused: r.now, Pause: 3 * time.Second})
	r.connections(r.connection(connected, nil), r.connection(started, nil))
	r.server.Started("one")
	want("another process", gate.Links{Called: r.now, Admitted: r.now, Refused: r.now, Pause: 3 * time.Second})
}

// TestLinksWhoseEndIsLost: a connection of which only the start is logged no longer counts as being established after its
// deadline, even while others are rejected all the time.
func TestLinksWhoseEndIsLost(t *testing.T) {
	const started, ended = datav3.AccessLogType_TcpConnectionStart, datav3.AccessLogType_TcpConnectionEnd
	const attempt = 10*time.Second + clock.MaxDelay // the policy's timeout, and the time until the entry arrives
	for _, retries := range []bool{false, true} {
		r := newRig(t)
		nowhere := func(c *datav3.AccessLogCommon) { c.UpstreamRemoteAddress = nil }
		refused := func(c *datav3.AccessLogCommon) {
			nowhere(c)
			c.ResponseFlags = &datav3.ResponseFlags{UpstreamOverflow: true}
		}
		r.connections(r.connection(started, nowhere), r.connection(ended, refused))
		r.now = r.now.Add(time.Minute)
		r.connections(r.connection(started, nowhere))
		for began := r.now; r.now <= began.Add(attempt); r.now = r.now.Add(time.Second) {
			if retries {
				r.connections(r.connection(started, nowhere), r.connection(ended, refused))
			}
			if got := r.server.Links("db", "one").Connecting; got != 1 {
				t.Fatalf("%s after it began, retries %t: %d are being established, want 1", r.now.Sub(began), retries, got)
			}
		}
		if got := r.server.Links("db", "one").Connecting; got != 0 {
			t.Errorf("retries %t: %d are being established, want none", retries, got)
		}
		r.connections(r.connection(started, nowhere))
		if got := r.server.Links("db", "one").Connecting; got != 1 {
			t.Errorf("retries %t: %d are being established after another began, want 1", retries, got)
		}
	}
}
