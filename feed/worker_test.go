package feed

import (
	"testing"
	"time"

	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	alsv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"google.golang.org/protobuf/proto"

	"breakwater.dev/breaker"
	"breakwater.dev/internal/alslog"
	"breakwater.dev/outlier"
	"breakwater.dev/wire"
)

// FuzzTake: no bytes do harm, and each entry of a message that is well formed is counted once.
func FuzzTake(f *testing.F) {
	r := newRig(f)
	probing := r.logged(route("web", wire.RouteProbe), unanswered(time.Second, nil))
	probing.CommonProperties.AccessLogType, probing.CommonProperties.Metadata = datav3.AccessLogType_DownstreamPeriodic, probe(wire.Probe(process, 1))
	refused := r.logged(route("web", wire.RouteClosed), answered(503))
	refused.CommonProperties.ResponseFlags = &datav3.ResponseFlags{UpstreamConnectionFailure: true}
	refused.CommonProperties.UpstreamRemoteAddress = remote("10.0.0.1:80")
	for _, m := range []proto.Message{
		identified("one", wire.RequestLog, probing, refused, r.logged("inline", took(5*time.Second)), r.logged(route("own", wire.RouteCounted), nil)),
		&alsv3.StreamAccessLogsMessage{LogEntries: &alsv3.StreamAccessLogsMessage_TcpLogs{TcpLogs: &alsv3.StreamAccessLogsMessage_TCPAccessLogEntries{
			LogEntry: []*datav3.TCPAccessLogEntry{r.connection(datav3.AccessLogType_TcpConnectionStart, nil), r.connection(datav3.AccessLogType_TcpConnectionEnd, nil)},
		}}},
	} {
		data, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	r.worker.upstream = "db"
	counted := func() int {
		c := r.server.Counts()
		return int(c.Reported + c.Rejected + c.Skipped + c.Refused)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var m alslog.Message
		if m.Read(data) != nil {
			return
		}
		r.endpoints = nil
		before := counted()
		err := r.worker.take(&m, r.now)
		if n := counted() - before; n > m.Len() || err == nil && n < m.Len() {
			t.Errorf("%d entries of %d are counted, error %v", n, m.Len(), err)
		}
	})
}

// TestMalformedMark: an entry whose metadata is malformed ends its stream, as every malformed entry does.
func TestMalformedMark(t *testing.T) {
	r := newRig(t)
	e := r.logged(route("unknown", wire.RouteSampled), nil)
	e.CommonProperties.ProtoReflect().SetUnknown([]byte{0x8a, 0x01, 0x01, 0xff}) // metadata {a tag without a field}
	data, err := proto.Marshal(identified("one", wire.RequestLog, r.logged(route("web", wire.RouteSampled), nil), e))
	if err != nil {
		t.Fatal(err)
	}
	var m alslog.Message
	if err := m.Read(data); err != nil {
		t.Fatal(err)
	}
	if err := r.worker.take(&m, r.now); err == nil {
		t.Error("no error, want that it is malformed")
	}
	r.want("web", breaker.Counts{Requests: 1, Successes: 1})
}

// complete adds to an entry what Envoy logs besides.
func complete(e *datav3.HTTPAccessLogEntry) *datav3.HTTPAccessLogEntry {
	e.CommonProperties.UpstreamRemoteAddress, e.CommonProperties.DownstreamRemoteAddress = remote("10.0.0.1:80"), remote("10.0.0.9:31234")
	e.CommonProperties.UpstreamCluster, e.CommonProperties.ResponseFlags = "web", &datav3.ResponseFlags{UpstreamConnectionFailure: true}
	if e.Request == nil {
		e.Request = &datav3.HTTPRequestProperties{}
	}
	e.Request.Path, e.Request.Authority, e.Request.UserAgent, e.Request.Scheme = "/charge/7", "web.shop.svc", "bench", "http"
	return e
}

// BenchmarkTake is the cost of an entry, in messages of 40.
func BenchmarkTake(b *testing.B) {
	r := newRig(b)
	r.server.options.Endpoints = func(string, []outlier.Outcome) {}
	r.server.options.Observe = func(breaker.Key, time.Duration, time.Duration, uint64) {}
	var entries []*datav3.HTTPAccessLogEntry
	for i := range 40 {
		e := r.logged(route("grpc", wire.RouteSampled), nil)
		e.Request = &datav3.HTTPRequestProperties{RequestHeaders: map[string]string{"content-type": "application/grpc"}}
		e.Response.ResponseHeaders = map[string]string{"content-type": "application/grpc"}
		if i%2 == 0 {
			e = r.logged(route("web/charge", wire.RouteClosed), answered(503))
		}
		entries = append(entries, complete(e))
	}
	data, err := proto.Marshal(identified("one", wire.RequestLog, entries...))
	if err != nil {
		b.Fatal(err)
	}
	var m alslog.Message
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if err := m.Read(data); err != nil {
			b.Fatal(err)
		}
		if err := r.worker.take(&m, r.now); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/40, "ns/entry")
}
