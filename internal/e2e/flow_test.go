package e2e

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"golang.org/x/tools/txtar"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/structpb"

	"breakwater.dev/breaker"
	"breakwater.dev/extproc"
	"breakwater.dev/internal/golden"
	"breakwater.dev/policy"
	"breakwater.dev/telemetry"
	"breakwater.dev/wire"
	"breakwater.dev/xds"
)

// TestFlow tells the whole story of one breaker: the parts are the real ones, put
// together as the app does, and only the proxy and the clock are played.
func TestFlow(t *testing.T) {
	golden.Run(t, "testdata/flow*.txtar", func(t *testing.T, in []txtar.File) map[string]string {
		f := newFlow(t, string(in[0].Data))
		for i, line := range strings.Split(strings.TrimSpace(string(in[1].Data)), "\n") {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				f.schedule(t, i+1, line)
			}
		}
		f.run(t)
		return map[string]string{"story": f.story.String(), "metrics": f.metrics(t), "envoy.yaml": f.resources(t)}
	})
}

// flow is a control plane in virtual time.
type flow struct {
	set       *policy.Set
	now       breaker.Instant
	engine    *breaker.Engine
	extproc   *extproc.Server
	telemetry *telemetry.Telemetry
	events    []event // to come, by time, in order of the script
	story     strings.Builder
}

// event is something that happens at a virtual time.
type event struct {
	at breaker.Instant
	do func()
}

func newFlow(t *testing.T, text string) *flow {
	t.Helper()
	set, diagnostics := policy.Parse([]policy.File{{Name: "policy.yaml", Data: []byte(text)}}, policy.BuiltinDefaults())
	if len(diagnostics) > 0 {
		t.Fatal(diagnostics)
	}
	f := &flow{set: set}
	f.telemetry = telemetry.New(telemetry.Options{
		Breakers: func(all []breaker.Status) []breaker.Status { return f.engine.AppendSnapshot(all, f.now) },
		Wall:     func(i breaker.Instant) time.Time { return time.Unix(0, int64(i)) },
	})
	f.engine = breaker.NewEngine(breaker.Options{Listen: f.moved})
	f.extproc = extproc.NewServer(extproc.Options{
		Decider:      f.engine.Decider(),
		Now:          func() breaker.Instant { return f.now },
		Observe:      func(key breaker.Key, d time.Duration) { f.telemetry.ObserveCalls(key, d, 1) },
		ObserveTotal: func(key breaker.Key, d time.Duration) { f.telemetry.ObserveWholeCalls(key, d, 1) },
	})
	f.telemetry.Apply(set, time.Unix(0, 0))
	f.engine.Apply(set.Specs(), f.now)
	f.extproc.Apply(set)
	return f
}

func (f *flow) moved(tr breaker.Transition) {
	f.telemetry.ObserveTransition(tr)
	seen, wait := "", ""
	if w := tr.Window; w.Calls > 0 {
		seen = fmt.Sprintf(", after %d calls, %d failed, %d in a row", w.Calls, w.Failures, w.Run)
	}
	if tr.Wait > 0 {
		wait = fmt.Sprintf(", for %s", tr.Wait)
	}
	f.tell("%s is %s: %s%s%s", tr.Key, tr.Edge.To, tr.Edge.Reason, seen, wait)
}

func (f *flow) tell(format string, args ...any) {
	fmt.Fprintf(&f.story, "%6.1fs  %s\n", time.Duration(f.now).Seconds(), fmt.Sprintf(format, args...))
}

// schedule reads a line of the script: "12.5s  3 x payments -> 500 in 100ms". In place
// of a status there may be "timeout" or "gone", for a client that leaves.
func (f *flow) schedule(t *testing.T, number int, line string) {
	t.Helper()
	var at, took string
	var n int
	var key, result string
	if _, err := fmt.Sscanf(line, "%s %d x %s -> %s in %s", &at, &n, &key, &result, &took); err != nil {
		t.Fatalf("line %d of the script, %q: %v", number, line, err)
	}
	begin, err1 := time.ParseDuration(at)
	lasts, err2 := time.ParseDuration(took)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatalf("line %d of the script: %v", number, err)
	}
	f.add(begin, func() { f.calls(t, n, key, result, lasts) })
}

func (f *flow) add(at time.Duration, do func()) {
	f.events = append(f.events, event{breaker.Instant(at), do})
	slices.SortStableFunc(f.events, func(a, b event) int { return cmp.Compare(a.at, b.at) })
}

// run makes everything happen in order, what time alone brings included.
func (f *flow) run(t *testing.T) {
	t.Helper()
	for len(f.events) > 0 {
		next := f.events[0]
		if due, ok := f.engine.Advance(f.now); ok && due <= next.at {
			f.now = due
			f.engine.Advance(f.now)
			continue
		}
		f.events = f.events[1:]
		f.now = next.at
		next.do()
	}
}

// calls begins n requests at once and tells how many of them got through.
func (f *flow) calls(t *testing.T, n int, key, result string, lasts time.Duration) {
	t.Helper()
	var admitted []*playedStream
	rejected := 0
	var reply *extprocv3.ImmediateResponse
	for range n {
		s := newPlayedStream(t, f.extproc, key)
		if r := s.send(requestHeaders()).GetImmediateResponse(); r != nil {
			rejected++
			reply = r
			continue
		}
		admitted = append(admitted, s)
	}
	if len(admitted) > 0 {
		f.tell("%d x %s: admitted, will end with %s", len(admitted), key, result)
		f.add(time.Duration(f.now)+lasts, func() { end(admitted, result) })
	}
	if rejected > 0 {
		f.tell("%d x %s: rejected with %d %s%s", rejected, key, reply.GetStatus().GetCode(), reply.GetBody(), retryAfter(reply))
	}
}

func retryAfter(r *extprocv3.ImmediateResponse) string {
	for _, h := range r.GetHeaders().GetSetHeaders() {
		if h.GetHeader().GetKey() == "retry-after" {
			return ", retry after " + string(h.GetHeader().GetRawValue()) + "s"
		}
	}
	return ""
}

// end gives requests their result.
func end(streams []*playedStream, result string) {
	for _, s := range streams {
		switch result {
		case "gone":
		case "timeout":
			s.send(responseHeaders("504", "response_timeout", 1<<2))
		default:
			s.send(responseHeaders(result, "via_upstream", 0))
		}
		s.end()
	}
}

// metrics are the breakers' series that are not 0.
func (f *flow) metrics(t *testing.T) string {
	t.Helper()
	w := httptest.NewRecorder()
	f.telemetry.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	var lines []string
	for _, line := range strings.Split(w.Body.String(), "\n") {
		if strings.HasPrefix(line, "circuit_breaker_") && !strings.HasSuffix(line, " 0") && !strings.Contains(line, "_bucket{") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

func (f *flow) resources(t *testing.T) string {
	t.Helper()
	rs, err := xds.Translate(f.set, xds.DefaultListen)
	if err != nil {
		t.Fatal(err)
	}
	text, err := xds.Render(xds.Resources{
		xds.ClusterType: rs[xds.ClusterType], xds.EndpointType: rs[xds.EndpointType], xds.RouteType: rs[xds.RouteType],
	}, "yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// playedStream plays a proxy's ext_proc stream: one message, one answer.
type playedStream struct {
	grpc.ServerStream
	ctx      context.Context
	requests chan *extprocv3.ProcessingRequest
	answers  chan *extprocv3.ProcessingResponse
	done     chan error
}

func newPlayedStream(t *testing.T, server *extproc.Server, key string) *playedStream {
	t.Helper()
	s := &playedStream{
		ctx:      metadata.NewIncomingContext(t.Context(), metadata.Pairs(wire.BreakerMetadata, key)),
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

// end closes the stream and waits until the server has let go of it.
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
