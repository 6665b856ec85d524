package alslog

import (
	"math"
	"testing"
	"time"

	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	alsv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
)

// maxNanos is the largest value of the nanoseconds in a Timestamp or a Duration, valid or not.
const maxNanos = time.Duration(math.MaxInt32) + 1

// FuzzMessage: a message is read as the generated types read it, and no bytes do harm.
func FuzzMessage(f *testing.F) {
	f.Add(requests(f, refused(), grpc()))
	f.Add(connections(f, &datav3.TCPAccessLogEntry{CommonProperties: refused().GetCommonProperties()}))
	f.Fuzz(func(t *testing.T, data []byte) {
		var m Message
		err := m.Read(data)
		read := 0
		for e, err := range m.Entries() {
			if err == nil {
				read++
				_, _ = e.Metadata(namespace, key) // an error says that it is malformed
			}
			if err == nil && (e.Start.Abs() > MaxTime+maxNanos || e.Duration.Abs() > MaxTime+maxNanos) {
				t.Errorf("it began at %s and took %s, want %s at most", e.Start, e.Duration, MaxTime)
			}
		}
		routes := map[string]int{}
		for e, err := range m.Entries() {
			if err == nil {
				routes[string(e.Route)]++
			}
		}
		for route, n := range routes {
			for e, err := range m.EntriesWhere(func(r []byte) bool { return string(r) == route }) {
				if n--; err == nil && string(e.Route) != route {
					t.Errorf("an entry of route %q where those of %q are wanted", e.Route, route)
				}
			}
			if n > 0 {
				t.Errorf("%d entries of route %q are missing", n, route)
			}
		}
		if read > m.Len() {
			t.Errorf("%d entries were read of %d", read, m.Len())
		}
		var want alsv3.StreamAccessLogsMessage
		if proto.Unmarshal(data, &want) != nil || !canonical(data, &want) {
			return
		}
		if err != nil {
			t.Fatalf("a well-formed message was not read: %v", err)
		}
		if n := len(want.GetHttpLogs().GetLogEntry()) + len(want.GetTcpLogs().GetLogEntry()); m.Len() != n || read != n {
			t.Errorf("%d entries, of which %d were read, want %d", m.Len(), read, n)
		}
		id := want.GetIdentifier()
		if m.Identified != (id != nil) || string(m.Node) != id.GetNode().GetId() || string(m.Cluster) != id.GetNode().GetCluster() || string(m.Log) != id.GetLogName() {
			t.Errorf("identified %t as %q of cluster %q with log %q, want %v", m.Identified, m.Node, m.Cluster, m.Log, id)
		}
		if _, tcp := want.GetLogEntries().(*alsv3.StreamAccessLogsMessage_TcpLogs); m.TCP != tcp {
			t.Errorf("entries of connections %t, want %t", m.TCP, tcp)
		}
		i := 0
		for e, err := range m.Entries() {
			if err != nil {
				t.Fatalf("a well-formed entry was not read: %v", err)
			}
			if m.TCP {
				sameCommon(t, e, want.GetTcpLogs().GetLogEntry()[i].GetCommonProperties())
			} else {
				same(t, e, want.GetHttpLogs().GetLogEntry()[i])
			}
			i++
		}
	})
}

// canonical reports whether bytes are the usual encoding of the message. Other bytes have a field twice, which generated types
// merge and we do not, or fields that we skip, in an encoding that generated types do not accept.
func canonical(data []byte, m proto.Message) bool {
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	return err == nil && len(encoded) == len(data)
}

// same checks the entry of a request against what the generated types read.
func same(t *testing.T, e *Entry, want *datav3.HTTPAccessLogEntry) {
	sameCommon(t, e, want.GetCommonProperties())
	q, r := want.GetRequest(), want.GetResponse()
	for name, field := range map[string]struct {
		got  []byte
		want string
	}{
		"details": {e.Details, r.GetResponseCodeDetails()}, "upgrade": {e.Upgrade, q.GetRequestHeaders()["upgrade"]},
		"the request's content-type":  {e.RequestContentType, q.GetRequestHeaders()["content-type"]},
		"grpc-timeout":                {e.GRPCTimeout, q.GetRequestHeaders()["grpc-timeout"]},
		"the response's content-type": {e.ResponseContentType, r.GetResponseHeaders()["content-type"]},
		"grpc-status of the headers":  {e.GRPCStatusHeader, r.GetResponseHeaders()["grpc-status"]},
		"grpc-status of the trailers": {e.GRPCStatusTrailer, r.GetResponseTrailers()["grpc-status"]},
	} {
		if string(field.got) != field.want {
			t.Errorf("%s %q, want %q", name, field.got, field.want)
		}
	}
	if _, logged := r.GetResponseTrailers()["grpc-status"]; logged != (e.GRPCStatusTrailer != nil) {
		t.Errorf("grpc-status is in the trailers: %t, want %t", !logged, logged)
	}
	if e.Status != r.GetResponseCode().GetValue() || e.BodyBytes != r.GetResponseBodyBytes() {
		t.Errorf("status %d with %d bytes, want %v", e.Status, e.BodyBytes, r)
	}
}

// sameCommon checks what entries of requests and of connections have.
func sameCommon(t *testing.T, e *Entry, want *datav3.AccessLogCommon) {
	if string(e.Route) != want.GetRouteName() || string(e.TransportFailure) != want.GetUpstreamTransportFailureReason() {
		t.Errorf("route %q, transport failure %q; want %v", e.Route, e.TransportFailure, want)
	}
	if e.Attempts != want.GetUpstreamRequestAttemptCount() || e.Type != Type(want.GetAccessLogType()) || e.Complete != (want.GetTimeToLastDownstreamTxByte() != nil) {
		t.Errorf("%d attempts, type %d, complete %t; want %v", e.Attempts, e.Type, e.Complete, want)
	}
	if got, err := e.Metadata(namespace, key); err != nil || string(got) != want.GetMetadata().GetFilterMetadata()[namespace].GetFields()[key].GetStringValue() {
		t.Errorf("mark %q, error %v; want %v", got, err, want.GetMetadata())
	}
	if got, err := e.Tag(tag); err != nil || string(got) != want.GetCustomTags()[tag] {
		t.Errorf("tag %q, error %v; want %v", got, err, want.GetCustomTags())
	}
	for _, o := range []struct {
		got  time.Duration
		want *durationpb.Duration
	}{{e.RequestEnd, want.GetTimeToLastRxByte()}, {e.ResponseBegin, want.GetTimeToFirstUpstreamRxByte()}} {
		if o.want == nil && o.got >= 0 || inBounds(o.want) && o.want.AsDuration() >= 0 && o.got != o.want.AsDuration() {
			t.Errorf("offset %s, want %v", o.got, o.want)
		}
	}
	if d := want.GetDuration(); inBounds(d) && e.Duration != d.AsDuration() {
		t.Errorf("it took %s, want %s", e.Duration, d.AsDuration())
	}
	if s := want.GetStartTime(); s.IsValid() && time.Duration(s.GetSeconds()).Abs() < MaxTime/time.Second && int64(e.Start) != s.AsTime().UnixNano() {
		t.Errorf("it began at %s, want %s", e.Start, s.AsTime())
	}
	flags := uint64(0)
	want.GetResponseFlags().ProtoReflect().Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		flags |= 1 << f.Number()
		return true
	})
	if e.Flags != flags {
		t.Errorf("flags %b, want %b", e.Flags, flags)
	}
}

// inBounds reports whether a Duration is valid and no time is cut.
func inBounds(d *durationpb.Duration) bool { return d.IsValid() && d.AsDuration().Abs() < MaxTime }

// TestNumbers: the numbers that are written here by hand are the same in the generated types.
func TestNumbers(t *testing.T) {
	for got, want := range map[Type]datav3.AccessLogType{
		TCPUpstreamConnected: datav3.AccessLogType_TcpUpstreamConnected, TCPConnectionEnd: datav3.AccessLogType_TcpConnectionEnd,
		DownstreamPeriodic: datav3.AccessLogType_DownstreamPeriodic, TCPConnectionStart: datav3.AccessLogType_TcpConnectionStart,
	} {
		if got != Type(want) {
			t.Errorf("%s is %d, want %d", want, got, want)
		}
	}
	fields := (&datav3.ResponseFlags{}).ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if isBool := f.Kind() == protoreflect.BoolKind; isBool == (f.Number() == unauthorizedDetails) || f.Number() > 63 {
			t.Errorf("the flag %s with number %d is a %s", f.Name(), f.Number(), f.Kind())
		}
	}
}
