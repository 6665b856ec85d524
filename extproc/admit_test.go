package extproc

import (
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"breakwater.dev/breaker"
	"breakwater.dev/policy"
	"breakwater.dev/wire"
)

// rejected makes a call that must be rejected, and returns its immediate response. It checks that the server then ends
// the exchange.
func (r *rig) rejected(upstream string) *extprocv3.ImmediateResponse {
	r.t.Helper()
	s := r.stream(upstream, requestHeaders(), event{err: errCanceled})
	err := r.server.Process(s)
	if err != nil || len(s.answers) != 1 || s.answers[0].GetImmediateResponse() == nil {
		r.t.Fatalf("answers %v and error %v, want an immediate response", s.answers, err)
	}
	if len(s.events) != 1 {
		r.t.Error("the processor went on receiving after it had rejected")
	}
	return s.answers[0].GetImmediateResponse()
}

// setHeaders returns the headers that a response sets, as "name: value" lines.
func setHeaders(t testing.TB, m *extprocv3.ImmediateResponse) string {
	t.Helper()
	text := ""
	for _, h := range m.GetHeaders().GetSetHeaders() {
		if h.GetAppendAction() != corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD {
			t.Errorf("header %s is appended; it must replace earlier ones", h.GetHeader().GetKey())
		}
		text += h.GetHeader().GetKey() + ": " + string(h.GetHeader().GetRawValue()) + "\n"
	}
	return text
}

// TestAdmittedCallsPassUntouched shows that the answers to an admitted call change nothing.
func TestAdmittedCallsPassUntouched(t *testing.T) {
	r := newRig(t, neverTrips)
	got, err := r.run("grpc", grpcRequest(), responseHeaders(":status", "200", "content-type", "application/grpc"), responseTrailers("grpc-status", "0"))
	if err != nil {
		t.Fatal(err)
	}
	want := []*extprocv3.ProcessingResponse{
		{Response: &extprocv3.ProcessingResponse_RequestHeaders{RequestHeaders: &extprocv3.HeadersResponse{}}},
		{Response: &extprocv3.ProcessingResponse_ResponseHeaders{ResponseHeaders: &extprocv3.HeadersResponse{}}},
		{Response: &extprocv3.ProcessingResponse_ResponseTrailers{ResponseTrailers: &extprocv3.TrailersResponse{}}},
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
}

// TestOpenBreakerSendsTheFallback, with a status for HTTP and one for gRPC.
func TestOpenBreakerSendsTheFallback(t *testing.T) {
	r := newRig(t, oneProbe)
	r.open("http")
	got := r.rejected("http")
	if want := "content-type: application/json\nx-a: 1\nx-b: 2\nretry-after: 30\n"; setHeaders(t, got) != want {
		t.Errorf("headers\n%swant\n%s", setHeaders(t, got), want)
	}
	got.Headers = nil
	want := &extprocv3.ImmediateResponse{
		Status:     &typev3.HttpStatus{Code: typev3.StatusCode_ServiceUnavailable},
		Body:       []byte(`{"error":"down"}`),
		GrpcStatus: &extprocv3.GrpcStatus{Status: 14},
		Details:    "breakwater_open",
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("response (-want +got):\n%s", diff)
	}
	if got, want := r.server.Counts(), (Counts{Rejected: 1}); got != want {
		t.Errorf("server counts %+v, want %+v", got, want)
	}
	if got, want := r.status("http").Counts, (breaker.Counts{Requests: 2, Rejected: 1, Failures: 1}); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
}

// TestFallbackWithStatusOnly shows that the response has no header that is not in the policy.
func TestFallbackWithStatusOnly(t *testing.T) {
	r := newRig(t, oneProbe)
	r.change(func(route *policy.Route) { route.Breaker.Fallback.Response = policy.Response{Status: 204} })
	r.open("http")
	r.after(wait)
	permit, _ := r.engine.Acquire(breaker.Key{Upstream: "http"}, r.now())
	defer func() { permit.Done(breaker.Ignored, r.now()) }()
	got := r.rejected("http")
	if got.GetStatus().GetCode() != typev3.StatusCode_NoContent || len(got.GetBody()) > 0 || setHeaders(t, got) != "" {
		t.Errorf("response %v, want status 204 alone", got)
	}
}

// TestRejectedCallsAreRouted to a fallback that only the proxy can produce: the answer marks the call, and the stream is
// over. A proxy that has no route for the fallback yet would let the call through, so it gets the fallback's response.
func TestRejectedCallsAreRouted(t *testing.T) {
	full := policy.Response{Status: 503}
	for name, tt := range map[string]struct {
		fallback policy.Fallback
		logged   bool
	}{
		"upstream": {policy.Fallback{Response: full, Upstream: &policy.FallbackUpstream{Name: "backup", Host: "backup"}}, false},
		"cached":   {policy.Fallback{Response: full, Cached: &policy.Cached{}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, oneProbe)
			r.change(func(route *policy.Route) { route.Breaker.Fallback = tt.fallback })
			r.open("http")
			if got := r.rejected("http").GetStatus().GetCode(); int(got) != tt.fallback.Response.Status {
				t.Errorf("a proxy without the fallback answers %d, want %d", got, tt.fallback.Response.Status)
			}
			answers, err := r.with(wire.FallbackMetadata, "http", requestHeaders())
			if err != nil || len(answers) != 1 {
				t.Fatalf("got %v, %v, want one answer", answers, err)
			}
			marks := answers[0].GetDynamicMetadata().GetFields()[wire.Namespace].GetStructValue().AsMap()
			want := map[string]any{wire.RejectedKey: true}
			if tt.logged {
				want[wire.LoggedKey] = true
			}
			if diff := cmp.Diff(want, marks); diff != "" {
				t.Errorf("marks (-want +got):\n%s", diff)
			}
			if common := answers[0].GetRequestHeaders().GetResponse(); !common.GetClearRouteCache() || common.GetHeaderMutation() == nil {
				t.Errorf("answer %v, want that it clears the route and changes a header, so that Envoy routes the call again", answers[0])
			}
			if got, want := r.server.Counts(), (Counts{Rejected: 2}); got != want {
				t.Errorf("server counts %+v, want %+v", got, want)
			}
		})
	}
}

// TestRetryAfterRoundsUp, so that a caller that waits for that time does not come too early. In half-open the time is not
// known, and there is no header.
func TestRetryAfterRoundsUp(t *testing.T) {
	r := newRig(t, oneProbe)
	r.open("http")
	opened := r.now()
	const fixed = "content-type: application/json\nx-a: 1\nx-b: 2\n"
	for _, tt := range []struct {
		since time.Duration
		want  string
	}{
		{0, "30"}, {1, "30"}, {time.Second - 1, "30"}, {time.Second, "29"}, {29 * time.Second, "1"}, {wait - 1, "1"},
	} {
		r.clock.Store(int64(opened.Add(tt.since)))
		if got, want := setHeaders(t, r.rejected("http")), fixed+"retry-after: "+tt.want+"\n"; got != want {
			t.Errorf("%s after the breaker opened: headers\n%swant\n%s", tt.since, got, want)
		}
	}
	r.after(1)
	answers, err := r.run("http", requestHeaders(), event{before: func() {
		if got := setHeaders(t, r.rejected("http")); got != fixed {
			t.Errorf("while a probe is in flight: headers\n%swant\n%s", got, fixed)
		}
	}, err: errCanceled})
	if err != nil || len(answers) != 1 || answers[0].GetRequestHeaders() == nil {
		t.Errorf("the probe got %v, %v; want that it is admitted", answers, err)
	}
}

// TestInlineIsExact shows that no request gets through after the failure that trips the breaker.
func TestInlineIsExact(t *testing.T) {
	r := newRig(t, "{consecutiveFailures: 3, failureRateThreshold: 0%}")
	for range 3 {
		if _, err := r.run("http", requestHeaders(), responseHeaders(":status", "500")); err != nil {
			t.Fatal(err)
		}
	}
	for range 100 {
		r.rejected("http")
	}
	if got, want := r.server.Counts(), (Counts{Admitted: 3, Rejected: 100}); got != want {
		t.Errorf("server counts %+v, want %+v", got, want)
	}
}
