package feed

import (
	"testing"
	"time"

	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	alsv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	"breakwater.dev/breaker"
	"breakwater.dev/wire"
)

// FuzzMessage: what is read of a message is what the generated types read, and nothing
// that is hostile does harm.
func FuzzMessage(f *testing.F) {
	r := newRig(f)
	refused := r.logged(route("web", wire.RouteClosed), answered(503))
	refused.CommonProperties.ResponseFlags = &datav3.ResponseFlags{UpstreamConnectionFailure: true, NoHealthyUpstream: true}
	refused.CommonProperties.UpstreamRemoteAddress = remote("10.0.0.1:80")
	grpc := r.logged(route("grpc", wire.RouteSampled), nil)
	grpc.Response.ResponseTrailers = map[string]string{"grpc-status": "14", "other": "x"}
	grpc.Response.ResponseHeaders = map[string]string{"grpc-status": "0", "content-type": "application/grpc"}
	grpc.Request = &datav3.HTTPRequestProperties{RequestHeaders: map[string]string{"content-type": "application/grpc", "grpc-timeout": "25m"}}
	grpc.Response.ResponseBodyBytes, grpc.CommonProperties.Metadata = 1<<20, probe("7")
	for _, m := range []proto.Message{
		introduced("one", wire.RequestLog, refused, grpc),
		&alsv3.StreamAccessLogsMessage{LogEntries: &alsv3.StreamAccessLogsMessage_TcpLogs{TcpLogs: &alsv3.StreamAccessLogsMessage_TCPAccessLogEntries{
			LogEntry: []*datav3.TCPAccessLogEntry{r.connection(datav3.AccessLogType_TcpConnectionEnd, nil)},
		}}},
	} {
		data, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var m message
		err := m.read(data)
		n := uint64(0)
		if err == nil {
			r := newRig(t)
			_ = r.worker.take(&m, r.now) // an error says that it is hostile
			n = countEntries(data)
		}
		var want alsv3.StreamAccessLogsMessage
		if proto.Unmarshal(data, &want) != nil || repeats(data) {
			return // what it would mean is nobody's business
		}
		if err != nil {
			t.Fatalf("a message cannot be read that is one: %v", err)
		}
		if got := uint64(len(want.GetHttpLogs().GetLogEntry()) + len(want.GetTcpLogs().GetLogEntry())); n != got {
			t.Errorf("%d entries, want %d", n, got)
		}
		if string(m.node) != want.GetIdentifier().GetNode().GetId() || string(m.log) != want.GetIdentifier().GetLogName() {
			t.Errorf("introduced as %q with log %q, want %v", m.node, m.log, want.GetIdentifier())
		}
		i := 0
		_ = entries(m.http, func(data []byte) error {
			same(t, data, want.GetHttpLogs().GetLogEntry()[i])
			i++
			return nil
		})
	})
}

// same checks an entry against what the generated types read.
func same(t *testing.T, data []byte, want *datav3.HTTPAccessLogEntry) {
	var e entry
	if err := e.read(data); err != nil {
		t.Fatalf("an entry cannot be read that is one: %v", err)
	}
	c, r := want.GetCommonProperties(), want.GetResponse()
	if string(e.route) != c.GetRouteName() || string(e.details) != r.GetResponseCodeDetails() || uint32(e.status) != r.GetResponseCode().GetValue() {
		t.Errorf("route %q, details %q, status %d; want %v", e.route, e.details, e.status, want)
	}
	if string(e.grpcStatus) != r.GetResponseTrailers()["grpc-status"] || string(e.grpcHeader) != r.GetResponseHeaders()["grpc-status"] {
		t.Errorf("grpc-status %q in headers, %q in trailers; want %v", e.grpcHeader, e.grpcStatus, r)
	}
	q := want.GetRequest()
	if string(e.requestType) != q.GetRequestHeaders()["content-type"] || string(e.timeout) != q.GetRequestHeaders()["grpc-timeout"] ||
		string(e.responseType) != r.GetResponseHeaders()["content-type"] || e.body != r.GetResponseBodyBytes() {
		t.Errorf("content types %q and %q, timeout %q, body %d; want %v", e.requestType, e.responseType, e.timeout, e.body, want)
	}
	if want := c.GetTimeToLastDownstreamTxByte() != nil; e.complete != want {
		t.Errorf("complete %t, want %t", e.complete, want)
	}
	mark := c.GetMetadata().GetFilterMetadata()[wire.Namespace].GetFields()[wire.ProbeKey].GetStringValue()
	if process, id := wire.ProbeOf([]byte(mark)); e.process != process || e.probe != id {
		t.Errorf("probe %d of process %d, want %d of %d", e.probe, e.process, id, process)
	}
	for _, o := range []struct {
		got  time.Duration
		want *durationpb.Duration
	}{{e.requestEnd, c.GetTimeToLastRxByte()}, {e.headers, c.GetTimeToFirstUpstreamRxByte()}} {
		if o.want == nil && o.got >= 0 || o.want.IsValid() && o.want.AsDuration() >= 0 && o.want.AsDuration() < 100*365*24*time.Hour && o.got != o.want.AsDuration() {
			t.Errorf("offset %s, want %v", o.got, o.want)
		}
	}
	if d := c.GetDuration(); d.IsValid() && e.took != d.AsDuration() && d.AsDuration().Abs() < 100*365*24*time.Hour {
		t.Errorf("took %s, want %s", e.took, d.AsDuration())
	}
	flags := wire.Flags(0)
	c.GetResponseFlags().ProtoReflect().Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		flags |= 1 << f.Number()
		return true
	})
	if e.flags != flags {
		t.Errorf("flags %b, want %b", e.flags, flags)
	}
}

// repeats tells whether a message says again what it has said, or says what we skip in
// another way: then its canonical form is another, and what is merged is read differently.
func repeats(data []byte) bool {
	var m alsv3.StreamAccessLogsMessage
	if proto.Unmarshal(data, &m) != nil {
		return true
	}
	canonical, err := proto.MarshalOptions{Deterministic: true}.Marshal(&m)
	return err != nil || len(canonical) != len(data)
}

// BenchmarkTake is what an entry costs, in a message of 40.
func BenchmarkTake(b *testing.B) {
	r := newRig(b)
	r.server.options.Endpoints = func(string, []EndpointOutcome) {}
	r.server.options.Observe = func(breaker.Key, time.Duration, time.Duration, uint64) {}
	var calls []*datav3.HTTPAccessLogEntry
	for i := range 40 {
		e := r.logged(route("grpc", wire.RouteSampled), nil)
		e.Request = &datav3.HTTPRequestProperties{RequestHeaders: map[string]string{"content-type": "application/grpc"}}
		e.Response.ResponseHeaders = map[string]string{"content-type": "application/grpc"}
		if i%2 == 0 {
			e = r.logged(route("web/charge", wire.RouteClosed), answered(503))
		}
		e.CommonProperties.UpstreamRemoteAddress, e.CommonProperties.DownstreamRemoteAddress = remote("10.0.0.1:80"), remote("10.0.0.9:31234")
		e.CommonProperties.UpstreamCluster, e.CommonProperties.ResponseFlags = "web", &datav3.ResponseFlags{UpstreamConnectionFailure: true}
		if e.Request == nil {
			e.Request = &datav3.HTTPRequestProperties{}
		}
		e.Request.Path, e.Request.Authority, e.Request.UserAgent, e.Request.Scheme = "/charge/7", "web.shop.svc", "bench", "http"
		calls = append(calls, e)
	}
	data, err := proto.Marshal(introduced("one", wire.RequestLog, calls...))
	if err != nil {
		b.Fatal(err)
	}
	var m message
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if err := m.read(data); err != nil {
			b.Fatal(err)
		}
		if err := r.worker.take(&m, r.now); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/40, "ns/entry")
}
