package alslog

import (
	"errors"
	"fmt"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	alsv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The mark in the metadata of requests, and the name of a custom tag.
const namespace, key, mark, tag = "tests", "mark", "7", "tag"

// address returns the address of an endpoint.
func address(ip string) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: ip, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: 8080},
	}}}
}

// refused is the entry of a request whose connection to the upstream failed.
func refused() *datav3.HTTPAccessLogEntry {
	return &datav3.HTTPAccessLogEntry{
		CommonProperties: &datav3.AccessLogCommon{
			StartTime: timestamppb.New(time.Unix(1_700_000_000, 1)), Duration: durationpb.New(3 * time.Millisecond),
			TimeToLastRxByte: durationpb.New(time.Millisecond), TimeToLastDownstreamTxByte: durationpb.New(3 * time.Millisecond),
			RouteName: "web", AccessLogType: datav3.AccessLogType_DownstreamEnd, UpstreamRequestAttemptCount: 2,
			CustomTags:            map[string]string{tag: "12/34", "other": "x"},
			UpstreamRemoteAddress: address("10.0.0.1"), UpstreamTransportFailureReason: "connection refused",
			ResponseFlags: &datav3.ResponseFlags{
				UpstreamConnectionFailure: true, NoHealthyUpstream: true, UnauthorizedDetails: &datav3.ResponseFlags_Unauthorized{},
			},
		},
		Request:  &datav3.HTTPRequestProperties{Path: "/", RequestHeaders: map[string]string{"upgrade": "websocket"}},
		Response: &datav3.HTTPResponseProperties{ResponseCode: wrapperspb.UInt32(503), ResponseCodeDetails: "no_healthy_upstream"},
	}
}

// grpc is the entry of a gRPC request that the upstream answered.
func grpc() *datav3.HTTPAccessLogEntry {
	marks := &structpb.Struct{Fields: map[string]*structpb.Value{key: structpb.NewStringValue(mark), "other": structpb.NewBoolValue(true)}}
	return &datav3.HTTPAccessLogEntry{
		CommonProperties: &datav3.AccessLogCommon{
			TimeToFirstUpstreamRxByte: durationpb.New(2 * time.Millisecond), UpstreamRemoteAddress: address("2001:db8::1"),
			Metadata: &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{namespace: marks, "other": {}}},
		},
		Request: &datav3.HTTPRequestProperties{RequestHeaders: map[string]string{"content-type": "application/grpc", "grpc-timeout": "25m"}},
		Response: &datav3.HTTPResponseProperties{
			ResponseCode: wrapperspb.UInt32(200), ResponseBodyBytes: 1 << 20,
			ResponseHeaders:  map[string]string{"grpc-status": "0", "content-type": "application/grpc"},
			ResponseTrailers: map[string]string{"grpc-status": "14", "other": "x"},
		},
	}
}

// requests is a message with entries of requests.
func requests(t testing.TB, all ...*datav3.HTTPAccessLogEntry) []byte {
	t.Helper()
	return marshal(t, &alsv3.StreamAccessLogsMessage{
		Identifier: &alsv3.StreamAccessLogsMessage_Identifier{Node: &corev3.Node{Id: "one", Cluster: "shop"}, LogName: "breaker"},
		LogEntries: &alsv3.StreamAccessLogsMessage_HttpLogs{HttpLogs: &alsv3.StreamAccessLogsMessage_HTTPAccessLogEntries{LogEntry: all}},
	})
}

// connections is a message with entries of connections.
func connections(t testing.TB, all ...*datav3.TCPAccessLogEntry) []byte {
	t.Helper()
	return marshal(t, &alsv3.StreamAccessLogsMessage{
		LogEntries: &alsv3.StreamAccessLogsMessage_TcpLogs{TcpLogs: &alsv3.StreamAccessLogsMessage_TCPAccessLogEntries{LogEntry: all}},
	})
}

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func Example() {
	data, err := proto.Marshal(&alsv3.StreamAccessLogsMessage{LogEntries: &alsv3.StreamAccessLogsMessage_HttpLogs{
		HttpLogs: &alsv3.StreamAccessLogsMessage_HTTPAccessLogEntries{LogEntry: []*datav3.HTTPAccessLogEntry{refused(), grpc()}},
	}})
	if err != nil {
		fmt.Println(err)
	}
	var m Message
	if err := m.Read(data); err != nil {
		fmt.Println(err)
	}
	for e, err := range m.Entries() {
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Printf("%d from %s after %s\n", e.Status, e.Remote, e.Duration)
	}
	// Output:
	// 503 from 10.0.0.1:8080 after 3ms
	// 200 from [2001:db8::1]:8080 after 0s
}

// TestMessageIsReusedWhole: nothing of one message is left in the next.
func TestMessageIsReusedWhole(t *testing.T) {
	var m Message
	for _, data := range [][]byte{requests(t, grpc()), connections(t, &datav3.TCPAccessLogEntry{}, &datav3.TCPAccessLogEntry{}), nil} {
		var fresh Message
		if err := errors.Join(m.Read(data), fresh.Read(data)); err != nil {
			t.Fatal(err)
		}
		if m.Identified != fresh.Identified || string(m.Node) != string(fresh.Node) || string(m.Cluster) != string(fresh.Cluster) ||
			string(m.Log) != string(fresh.Log) || m.TCP != fresh.TCP || m.Len() != fresh.Len() {
			t.Errorf("it is read as %+v, by a new message as %+v", m, fresh)
		}
		for e, err := range m.Entries() {
			if err != nil || m.TCP && (e.Status != 0 || e.Remote.IsValid() || e.RequestContentType != nil || e.metadata != nil) {
				t.Errorf("error %v, or the entry of a connection has fields of a request: %+v", err, e)
			}
		}
	}
}

// TestLoopsMayEndEarly: a loop that breaks reads no further.
func TestLoopsMayEndEarly(t *testing.T) {
	var m Message
	if err := m.Read(requests(t, refused(), grpc(), grpc())); err != nil {
		t.Fatal(err)
	}
	n := 0
	for range m.Entries() {
		if n++; n == 2 {
			break
		}
	}
	if n != 2 || m.Len() != 3 {
		t.Errorf("%d entries were read of %d, want 2 of 3", n, m.Len())
	}
}

// TestMalformed: the entries before the fault are read, and the fault is an error wherever it is.
func TestMalformed(t *testing.T) {
	cut := []byte{0x0a, 0x02, 0x0a} // a field of two bytes, of which one is there
	nested := func(path ...byte) []byte {
		m := []byte{0xff} // a tag that does not end
		for i := len(path) - 1; i >= 0; i-- {
			m = append([]byte{path[i]<<3 | 2, byte(len(m))}, m...)
		}
		return m
	}
	var m Message
	for name, data := range map[string][]byte{"the message": cut, "its identifier": nested(1), "its node": nested(1, 1), "a tag": {0xff}} {
		if err := m.Read(data); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: error %v, want %v", name, err, ErrMalformed)
		}
	}
	for name, list := range map[string][]byte{
		"the list": {0xff}, "the entry": nested(1), "its common properties": nested(1, 1), "its start": nested(1, 1, 5), "its address": nested(1, 1, 13, 1),
		"its flags": nested(1, 1, 16), "its request headers": nested(1, 3, 13), "its status": nested(1, 4, 1), "its trailers": nested(1, 4, 5),
	} {
		good := []byte{0x0a, 0x00}
		all := append(good, list...)
		if err := m.Read(append([]byte{2<<3 | 2, byte(len(all))}, all...)); err != nil {
			t.Fatal(err)
		}
		read, last := 0, error(nil)
		for e, err := range m.Entries() {
			if last = err; e != nil {
				read++
			}
		}
		if read != 1 || !errors.Is(last, ErrMalformed) {
			t.Errorf("%s: %d entries before error %v, want 1 before %v", name, read, last, ErrMalformed)
		}
	}
}

// TestMalformedMetadata is an error only of looking it up: the rest of the entry can be used.
func TestMalformedMetadata(t *testing.T) {
	e := Entry{metadata: []byte{0x0a, 0x01, 0xff}}
	if _, err := e.Metadata(namespace, key); !errors.Is(err, ErrMalformed) {
		t.Errorf("error %v, want %v", err, ErrMalformed)
	}
}

// TestReadingAllocatesNothing, whatever is in the entries.
func TestReadingAllocatesNothing(t *testing.T) {
	data := requests(t, refused(), grpc(), refused())
	var m Message
	n := testing.AllocsPerRun(100, func() {
		if err := m.Read(data); err != nil {
			t.Fatal(err)
		}
		for e, err := range m.Entries() {
			if err != nil {
				t.Fatal(err)
			}
			if value, err := e.Metadata(namespace, key); err != nil || len(value) > len(mark) {
				t.Fatalf("mark %q, error %v", value, err)
			}
		}
	})
	if n > 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// BenchmarkEntries is the cost of a message with 40 entries.
func BenchmarkEntries(b *testing.B) {
	var all []*datav3.HTTPAccessLogEntry
	for range 20 {
		all = append(all, refused(), grpc())
	}
	data := requests(b, all...)
	var m Message
	b.ReportAllocs()
	for b.Loop() {
		if err := m.Read(data); err != nil {
			b.Fatal(err)
		}
		for _, err := range m.Entries() {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/40, "ns/entry")
}
