package e2e

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	alsv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"breakwater.dev/extproc"
	"breakwater.dev/feed"
	"breakwater.dev/wire"
)

// playedStream plays a proxy's ext_proc stream. Each message has one answer.
type playedStream struct {
	grpc.ServerStream
	ctx      context.Context
	requests chan *extprocv3.ProcessingRequest
	answers  chan *extprocv3.ProcessingResponse
	done     chan error
}

func newPlayedStream(t *testing.T, server *extproc.Server, md metadata.MD) *playedStream {
	t.Helper()
	s := &playedStream{
		ctx:      metadata.NewIncomingContext(t.Context(), md),
		requests: make(chan *extprocv3.ProcessingRequest),
		answers:  make(chan *extprocv3.ProcessingResponse),
		done:     make(chan error, 1),
	}
	go func() { s.done <- server.Process(s) }()
	return s
}

func (s *playedStream) Context() context.Context { return s.ctx }

func (s *playedStream) Recv() (*extprocv3.ProcessingRequest, error) {
	m, ok := <-s.requests
	if !ok {
		return nil, io.EOF
	}
	return m, nil
}

func (s *playedStream) Send(m *extprocv3.ProcessingResponse) error {
	s.answers <- m
	return nil
}

func (s *playedStream) send(m *extprocv3.ProcessingRequest) *extprocv3.ProcessingResponse {
	s.requests <- m
	return <-s.answers
}

// end closes the stream, and waits until the server has ended it.
func (s *playedStream) end() {
	close(s.requests)
	<-s.done
}

func requestHeaders() *extprocv3.ProcessingRequest {
	return &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_RequestHeaders{
		RequestHeaders: &extprocv3.HttpHeaders{Headers: &corev3.HeaderMap{}, EndOfStream: true},
	}}
}

func responseHeaders(status, details string, flags int) *extprocv3.ProcessingRequest {
	return &extprocv3.ProcessingRequest{
		Request: &extprocv3.ProcessingRequest_ResponseHeaders{ResponseHeaders: &extprocv3.HttpHeaders{
			Headers: &corev3.HeaderMap{Headers: []*corev3.HeaderValue{{Key: ":status", RawValue: []byte(status)}}},
		}},
		Attributes: map[string]*structpb.Struct{"envoy.filters.http.ext_proc": {Fields: map[string]*structpb.Value{
			"response.code_details": structpb.NewStringValue(details),
			"response.flags":        structpb.NewNumberValue(float64(flags)),
		}}},
	}
}

// playedLog plays a proxy's access log stream.
type playedLog struct {
	grpc.ServerStream
	ctx      context.Context
	messages chan []byte
	done     chan error
}

// newPlayedLog opens a stream of the service that the feed registers.
func newPlayedLog(t *testing.T, server *feed.Server) *playedLog {
	t.Helper()
	l := &playedLog{ctx: t.Context(), messages: make(chan []byte), done: make(chan error, 1)}
	server.Register(l)
	return l
}

// RegisterService implements [grpc.ServiceRegistrar].
func (l *playedLog) RegisterService(d *grpc.ServiceDesc, server any) {
	go func() { l.done <- d.Streams[0].Handler(server, l) }()
}

func (l *playedLog) Context() context.Context { return l.ctx }

func (l *playedLog) RecvMsg(into any) error {
	data, ok := <-l.messages
	if !ok {
		return io.EOF
	}
	return feed.Codec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(data)}, into)
}

func (l *playedLog) SendMsg(any) error { return nil }

// send sends a message with entries, as the proxy with an id.
func (l *playedLog) send(t *testing.T, id string, entries []*datav3.HTTPAccessLogEntry) {
	t.Helper()
	data, err := proto.Marshal(&alsv3.StreamAccessLogsMessage{
		Identifier: &alsv3.StreamAccessLogsMessage_Identifier{Node: &corev3.Node{Id: id, Cluster: "shop"}, LogName: wire.RequestLog},
		LogEntries: &alsv3.StreamAccessLogsMessage_HttpLogs{
			HttpLogs: &alsv3.StreamAccessLogsMessage_HTTPAccessLogEntries{LogEntry: entries},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case l.messages <- data:
	case err := <-l.done:
		t.Fatalf("the log's stream ended: %v", err)
	}
}

// close ends the stream, and waits until the server has read all of it.
func (l *playedLog) close() {
	close(l.messages)
	<-l.done
}

// blockYAML prints JSON as YAML without its quotes and braces.
func blockYAML(text []byte) (string, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return "", err
	}
	var plain func(n *yaml.Node)
	plain = func(n *yaml.Node) {
		n.Style = 0
		for _, child := range n.Content {
			plain(child)
		}
	}
	plain(&document)
	var out strings.Builder
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	err := errors.Join(encoder.Encode(&document), encoder.Close())
	return out.String(), err
}
