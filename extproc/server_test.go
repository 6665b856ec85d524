package extproc

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"breakwater.dev/breaker"
	"breakwater.dev/policy"
	"breakwater.dev/wire"
)

// TestStreamsOfNoBreakerAreAdmitted, because a proxy may have a route from an earlier policy. A stream that names no known
// breaker must not fail its request.
func TestStreamsOfNoBreakerAreAdmitted(t *testing.T) {
	for name, md := range map[string]metadata.MD{
		"unknown": metadata.Pairs(wire.BreakerMetadata, "unknown"),
		"empty":   metadata.Pairs(wire.BreakerMetadata, ""),
		"missing": {},
		"no":      nil,
		"several": metadata.Pairs(wire.BreakerMetadata, "http", wire.BreakerMetadata, "http"),
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, oneProbe)
			r.open("http")
			before := r.status("http").Counts
			s := r.stream("", requestHeaders(), responseHeaders(":status", "500"), responseTrailers("grpc-status", "14"))
			asked := s.events
			s.ctx = t.Context()
			if md != nil {
				s.ctx = metadata.NewIncomingContext(t.Context(), md)
			}
			if err := r.server.Process(s); err != nil {
				t.Errorf("error %v, want none", err)
			}
			if len(s.answers) != len(asked) || s.answers[0].GetRequestHeaders() == nil {
				t.Errorf("answers %v, want that the request passes", s.answers)
			}
			if got, want := r.server.Counts(), (Counts{UnknownBreakers: 1}); got != want {
				t.Errorf("server counts %+v, want %+v", got, want)
			}
			if got := r.status("http").Counts; got != before {
				t.Errorf("counts %+v, want %+v as before", got, before)
			}
		})
	}
}

// TestRequestHeadersTwice shows that request headers that come again get no second permit.
func TestRequestHeadersTwice(t *testing.T) {
	for name, events := range map[string][]event{
		"at once":            {requestHeaders(), requestHeaders(), responseHeaders(":status", "200")},
		"after the response": {requestHeaders(), responseHeaders(":status", "200"), requestHeaders(), responseHeaders(":status", "500")},
	} {
		t.Run(name, func(t *testing.T) {
			r := newHalfOpenRig(t)
			before := r.status("http").Counts
			answers, err := r.run("http", events...)
			if err != nil || len(answers) != len(events) {
				t.Errorf("%d answers and error %v, want %d and none", len(answers), err, len(events))
			}
			r.wantOne("http", before, breaker.Counts{Requests: 1, Successes: 1})
		})
	}
}

// wantOne checks the counts since before, and that no permit is held.
func (r *rig) wantOne(upstream string, before, want breaker.Counts) {
	r.t.Helper()
	got := r.status(upstream).Counts
	got.Requests -= before.Requests
	got.Successes -= before.Successes
	got.Failures -= before.Failures
	got.Ignored -= before.Ignored
	if got != want {
		r.t.Errorf("counted %+v, want %+v", got, want)
	}
	r.wantResolved(upstream)
}

// TestResponseWithoutRequest has a response from a filter before ours, which is not counted.
func TestResponseWithoutRequest(t *testing.T) {
	for _, e := range []event{responseHeaders(":status", "503"), localReply("x", 1<<5, ":status", "503"), responseTrailers("grpc-status", "14")} {
		for _, upstream := range []string{"http", "grpc"} {
			r := newHalfOpenRig(t)
			before := r.status(upstream).Counts
			if answers, err := r.run(upstream, e); err != nil || len(answers) != 1 {
				t.Errorf("%d answers and error %v, want one and none", len(answers), err)
			}
			r.wantOne(upstream, before, breaker.Counts{})
		}
	}
}

// TestUnexpectedMessages end the stream, and give the permit back.
func TestUnexpectedMessages(t *testing.T) {
	for name, m := range map[string]*extprocv3.ProcessingRequest{
		"RequestBody":     {Request: &extprocv3.ProcessingRequest_RequestBody{RequestBody: &extprocv3.HttpBody{Body: []byte("x")}}},
		"ResponseBody":    {Request: &extprocv3.ProcessingRequest_ResponseBody{ResponseBody: &extprocv3.HttpBody{}}},
		"RequestTrailers": {Request: &extprocv3.ProcessingRequest_RequestTrailers{RequestTrailers: &extprocv3.HttpTrailers{}}},
		"<nil>":           {},
	} {
		t.Run(name, func(t *testing.T) {
			r := newHalfOpenRig(t)
			before := r.status("grpc").Counts
			answers, err := r.run("grpc", grpcRequest(), event{message: m})
			if status.Code(err) != codes.InvalidArgument || !strings.Contains(status.Convert(err).Message(), name) {
				t.Errorf("error %v, want InvalidArgument with %s", err, name)
			}
			if len(answers) != 1 {
				t.Errorf("%d answers, want one to the request", len(answers))
			}
			if got, want := r.server.Counts(), (Counts{Admitted: 1, Errors: 1}); got != want {
				t.Errorf("server counts %+v, want %+v", got, want)
			}
			r.wantOne("grpc", before, breaker.Counts{Requests: 1, Ignored: 1})
		})
	}
}

// TestMessagesWithNilFields has messages without all their optional parts.
func TestMessagesWithNilFields(t *testing.T) {
	for _, events := range [][]event{
		{{message: &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_RequestHeaders{}}}},
		{requestHeaders(), {message: &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_ResponseHeaders{}}}},
		{requestHeaders(), {message: &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_ResponseTrailers{}}}},
		{requestHeaders(), {message: &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_ResponseHeaders{
			ResponseHeaders: &extprocv3.HttpHeaders{Headers: headers()},
		}}}},
	} {
		for _, upstream := range []string{"http", "grpc"} {
			r := newHalfOpenRig(t)
			if answers, err := r.run(upstream, events...); err != nil || len(answers) != len(events) {
				t.Errorf("%d answers and error %v, want %d and none", len(answers), err, len(events))
			}
			r.wantResolved(upstream)
		}
	}
}

// TestReloadDuringAStream shows that an open stream keeps its breaker, and that the next stream uses the new policy.
func TestReloadDuringAStream(t *testing.T) {
	r := newRig(t, neverTrips)
	b := r.engine.Breaker(breaker.Key{Upstream: "http"})
	response := responseHeaders(":status", "500")
	response.before = func() {
		if got := r.server.Counts().Streams; got != 1 {
			t.Errorf("%d streams are open, want 1", got)
		}
		r.set = &policy.Set{}
		r.apply()
	}
	if _, err := r.run("http", requestHeaders(), response); err != nil {
		t.Fatal(err)
	}
	if got, want := b.Status(r.now()).Counts, outcomes(t, "failure"); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
	if _, err := r.run("http", requestHeaders()); err != nil {
		t.Fatal(err)
	}
	if got, want := r.server.Counts(), (Counts{Admitted: 1, UnknownBreakers: 1}); got != want {
		t.Errorf("server counts %+v, want %+v", got, want)
	}
}

// TestRoutesWithoutBreaker shows that a stream cannot name them.
func TestRoutesWithoutBreaker(t *testing.T) {
	r := newRig(t, neverTrips)
	r.change(func(route *policy.Route) { route.Breaker = nil })
	if _, err := r.run("http", requestHeaders(), responseHeaders(":status", "500")); err != nil {
		t.Fatal(err)
	}
	if got, want := r.server.Counts(), (Counts{UnknownBreakers: 1}); got != want {
		t.Errorf("server counts %+v, want %+v", got, want)
	}
}

// TestManyStreams serves streams on many goroutines, with reloads between them, and shows that no outcome is lost.
func TestManyStreams(t *testing.T) {
	const goroutines, each = 8, 200
	r := newRig(t, "{consecutiveFailures: 3, waitDurationInOpenState: 1ms, permittedNumberOfCallsInHalfOpenState: 1, successThreshold: 1}")
	r.server.options.Observe = func(breaker.Key, time.Duration) {}
	r.server.options.ObserveTotal = func(breaker.Key, time.Duration) {}
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			for i := range each {
				code := "200"
				if (g+i)%3 > 0 {
					code = "503"
				}
				if _, err := r.run("http", after(10*time.Microsecond, requestHeaders()), responseHeaders(":status", code)); err != nil {
					t.Errorf("error %v, want none", err)
				}
				if i%50 == 0 {
					r.server.Apply(r.set)
				}
			}
		})
	}
	all.Wait()
	c := r.server.Counts()
	if c.Admitted+c.Rejected != goroutines*each || c.Rejected == 0 || c.UnknownBreakers > 0 {
		t.Errorf("server counts %+v, want %d streams, some of them rejected", c, goroutines*each)
	}
	r.wantResolved("http")
}

// TestOverTheWire shows that the breaker's name comes as gRPC metadata, and that a stream that its proxy cancels gives its
// permit back.
func TestOverTheWire(t *testing.T) {
	defer goleak.VerifyNone(t)
	r := newHalfOpenRig(t)
	before := r.status("http").Counts
	listener := bufconn.Listen(1 << 16)
	server := grpc.NewServer()
	r.server.Register(server)
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(listener); err != nil {
			t.Errorf("serving: %v", err)
		}
	})
	conn, err := grpc.NewClient("passthrough:///x", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(t.Context(), wire.BreakerMetadata, "http"))
	defer cancel()
	s, err := extprocv3.NewExternalProcessorClient(conn).Process(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(requestHeaders().message); err != nil {
		t.Fatal(err)
	}
	if m, err := s.Recv(); err != nil || m.GetRequestHeaders() == nil {
		t.Errorf("answer %v and error %v, want that the request passes", m, err)
	}
	if got := r.status("http").ProbesInFlight; got != 1 {
		t.Errorf("%d probes in flight, want 1", got)
	}
	cancel()
	server.GracefulStop() // waits for the handler
	if err := conn.Close(); err != nil {
		t.Error(fmt.Errorf("closing: %w", err))
	}
	serving.Wait()
	r.wantOne("http", before, breaker.Counts{Requests: 1, Ignored: 1})
}
