package extproc

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/types/known/structpb"

	"breakwater.dev/breaker"
	"breakwater.dev/policy"
	"breakwater.dev/wire"
)

// document is the policy of the tests without the fields of the breaker. The streams in testdata were captured with the
// same timeout.
const document = `
apiVersion: breakwater.dev/v1alpha1
kind: Upstream
metadata: {name: http}
spec: {protocol: HTTP1, endpoints: [{address: 127.0.0.1, port: 8080}]}
---
apiVersion: breakwater.dev/v1alpha1
kind: Upstream
metadata: {name: grpc}
spec: {protocol: GRPC, endpoints: [{address: 127.0.0.1, port: 8081}]}
---
apiVersion: breakwater.dev/v1alpha1
kind: BreakerPolicy
metadata: {name: mesh}
spec:
  targetRefs: [{kind: Mesh}]
  timeout: 300ms
  fallback: {response: {status: 503, contentType: application/json, body: '{"error":"down"}', headers: {x-b: "2", x-a: "1"}}}
  breaker: `

// Breakers of the tests.
const (
	neverTrips = "{consecutiveFailures: 1000000}"
	oneProbe   = "{consecutiveFailures: 1, permittedNumberOfCallsInHalfOpenState: 1, successThreshold: 2}"
)

// wait is the default waitDurationInOpenState.
const wait = 30 * time.Second

// rig is a server with its engine, and a clock that the test sets.
type rig struct {
	t        testing.TB
	engine   *breaker.Engine
	server   *Server
	set      *policy.Set
	clock    atomic.Int64
	observed []time.Duration // by Options.Observe
	lasted   []time.Duration // by Options.ObserveTotal
}

func newRig(t testing.TB, breakerFields string) *rig {
	t.Helper()
	return newRigOf(t, document+breakerFields+"\n")
}

// newRigOf is newRig with another policy.
func newRigOf(t testing.TB, text string) *rig {
	t.Helper()
	set, diagnostics := policy.Parse([]policy.File{{Name: "policy.yaml", Data: []byte(text)}}, policy.BuiltinDefaults())
	if len(diagnostics) > 0 {
		t.Fatal(diagnostics)
	}
	r := &rig{t: t, engine: breaker.NewEngine(breaker.Options{}), set: set}
	r.server = NewServer(Options{
		Decider: r.engine.Decider(),
		Process: 7, Now: r.now, Observe: func(_ breaker.Key, d time.Duration) { r.observed = append(r.observed, d) },
		ObserveTotal: func(_ breaker.Key, d time.Duration) { r.lasted = append(r.lasted, d) },
	})
	r.apply()
	return r
}

func (r *rig) apply() {
	r.engine.Apply(r.set.Specs(), r.now())
	r.server.Apply(r.set)
}

// change applies another set, in which edit has changed the first route of each upstream.
func (r *rig) change(edit func(*policy.Route)) {
	next := &policy.Set{}
	for _, u := range r.set.Upstreams {
		changed := *u
		changed.Routes = slices.Clone(u.Routes)
		own := *u.Routes[0].Breaker
		changed.Routes[0].Breaker = &own
		edit(&changed.Routes[0])
		next.Upstreams = append(next.Upstreams, &changed)
	}
	r.set = next
	r.apply()
}

func (r *rig) now() breaker.Instant { return breaker.Instant(r.clock.Load()) }

func (r *rig) after(d time.Duration) { r.clock.Add(int64(d)) }

func (r *rig) status(upstream string) breaker.Status {
	return r.engine.Breaker(breaker.Key{Upstream: upstream}).Status(r.now())
}

// newHalfOpenRig returns a rig whose breakers are half-open after one failure, and admit one probe at a time.
func newHalfOpenRig(t testing.TB) *rig {
	t.Helper()
	r := newRig(t, oneProbe)
	r.open("http", "grpc")
	r.after(wait)
	return r
}

func (r *rig) open(upstreams ...string) {
	r.t.Helper()
	for _, upstream := range upstreams {
		permit, _ := r.engine.Acquire(breaker.Key{Upstream: upstream}, r.now())
		permit.Done(breaker.Failure, r.now())
		if got := r.status(upstream).State; got != breaker.Open {
			r.t.Fatalf("%s is %s, want open", upstream, got)
		}
	}
}

// event is one result of a stream's Recv: a message, or the end.
type event struct {
	after   time.Duration // since the event before
	message *extprocv3.ProcessingRequest
	err     error
	before  func() // called first, if set
}

// stream plays a proxy. Its other methods panic, because the embedded interface is nil.
type stream struct {
	extprocv3.ExternalProcessor_ProcessServer
	rig      *rig
	ctx      context.Context
	events   []event
	failSend int // the answer that cannot be sent, from 1; 0: none
	answers  []*extprocv3.ProcessingResponse
}

func (s *stream) Context() context.Context { return s.ctx }

func (s *stream) Recv() (*extprocv3.ProcessingRequest, error) {
	if len(s.events) == 0 {
		return nil, errCanceled
	}
	e := s.events[0]
	s.events = s.events[1:]
	s.rig.after(e.after)
	if e.before != nil {
		e.before()
	}
	return e.message, e.err
}

func (s *stream) Send(m *extprocv3.ProcessingResponse) error {
	if err := m.ValidateAll(); err != nil {
		s.rig.t.Errorf("invalid answer: %v", err)
	}
	if len(s.answers)+1 == s.failSend {
		return errUnavailable
	}
	s.answers = append(s.answers, m)
	return nil
}

// Ends of streams, as gRPC reports them.
var (
	errCanceled    = status.Error(codes.Canceled, "context canceled")
	errUnavailable = status.Error(codes.Unavailable, "transport is closing")
)

// run serves a stream that names the upstream's breaker, and returns the answers.
func (r *rig) run(upstream string, events ...event) ([]*extprocv3.ProcessingResponse, error) {
	s := r.stream(upstream, events...)
	err := r.server.Process(s)
	return s.answers, err
}

// with is run with one more key in the stream's metadata.
func (r *rig) with(key, upstream string, events ...event) ([]*extprocv3.ProcessingResponse, error) {
	s := r.stream(upstream, events...)
	md, _ := metadata.FromIncomingContext(s.ctx)
	s.ctx = metadata.NewIncomingContext(s.ctx, metadata.Join(md, metadata.Pairs(key, "true")))
	err := r.server.Process(s)
	return s.answers, err
}

func (r *rig) stream(upstream string, events ...event) *stream {
	ctx := metadata.NewIncomingContext(r.t.Context(), metadata.Pairs(wire.BreakerMetadata, upstream))
	return &stream{rig: r, ctx: ctx, events: events}
}

// headers makes a header map as Envoy does: names in lower case, values in raw_value.
func headers(pairs ...string) *corev3.HeaderMap {
	m := &corev3.HeaderMap{}
	for i := 0; i < len(pairs); i += 2 {
		m.Headers = append(m.Headers, &corev3.HeaderValue{Key: pairs[i], RawValue: []byte(pairs[i+1])})
	}
	return m
}

func requestHeaders(pairs ...string) event {
	return event{message: &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_RequestHeaders{
		RequestHeaders: &extprocv3.HttpHeaders{Headers: headers(pairs...)},
	}}}
}

func grpcRequest() event { return requestHeaders("content-type", "application/grpc") }

// responseHeaders returns response headers from the upstream.
func responseHeaders(pairs ...string) event {
	return localReply("via_upstream", 0, pairs...)
}

// localReply returns response headers with the given response code details and flags.
func localReply(details string, flags float64, pairs ...string) event {
	return event{message: &extprocv3.ProcessingRequest{
		Request: &extprocv3.ProcessingRequest_ResponseHeaders{
			ResponseHeaders: &extprocv3.HttpHeaders{Headers: headers(pairs...)},
		},
		Attributes: map[string]*structpb.Struct{"envoy.filters.http.ext_proc": {Fields: map[string]*structpb.Value{
			"response.code_details": structpb.NewStringValue(details),
			"response.flags":        structpb.NewNumberValue(flags),
		}}},
	}}
}

func responseTrailers(pairs ...string) event {
	return event{message: &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_ResponseTrailers{
		ResponseTrailers: &extprocv3.HttpTrailers{Trailers: headers(pairs...)},
	}}}
}

// after returns e with a delay of d before it.
func after(d time.Duration, e event) event {
	e.after = d
	return e
}

// captured is a stream of a real Envoy 1.40.
type captured struct {
	name     string
	upstream string
	takes    time.Duration // from the request to the end of the call
	ends     error         // nil: the server ended the stream
	outcome  string        // the outcome of the only call, or "none"
	messages []*extprocv3.ProcessingRequest
}

// capturedStreams reads testdata. Each file has a sentence and the fields of captured as comments, and then the messages,
// separated by lines of "---".
func capturedStreams(t testing.TB) []captured {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", "*.txtpb"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("%d files in testdata: %v", len(paths), err)
	}
	var all []captured
	for _, path := range paths {
		all = append(all, readCaptured(t, path))
	}
	return all
}

func readCaptured(t testing.TB, path string) captured {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]string{}
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(strings.TrimPrefix(line, "# ")), ": "); ok && strings.HasPrefix(line, "# ") {
			fields[name] = value
		}
	}
	ends, known := map[string]error{"Canceled": errCanceled, "EOF": io.EOF, "none": nil}[fields["ends"]]
	c := captured{name: strings.TrimSuffix(filepath.Base(path), ".txtpb"), upstream: fields["upstream"], ends: ends, outcome: fields["outcome"]}
	c.takes, err = time.ParseDuration(fields["takes"])
	if err != nil || !known {
		t.Fatalf("%s: bad fields %v: %v", path, fields, err)
	}
	for text := range strings.SplitSeq(string(data), "\n---\n") {
		m := &extprocv3.ProcessingRequest{}
		if err := prototext.Unmarshal([]byte(text), m); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		c.messages = append(c.messages, m)
	}
	return c
}

// events returns the first n messages, and then the end.
func (c captured) events(n int, end error) []event {
	var es []event
	for _, m := range c.messages[:n] {
		es = append(es, event{message: m})
	}
	return append(es, event{err: end})
}

// allEvents returns all messages and the end. The time that the call took passes before its last message, or before the
// end if the stream was cut off.
func (c captured) allEvents() []event {
	es := c.events(len(c.messages), c.ends)
	last := len(es) - 1
	if c.ends != io.EOF {
		last--
	}
	es[last].after = c.takes
	return es
}
