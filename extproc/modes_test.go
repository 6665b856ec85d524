package extproc

import (
	"testing"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/wire"
)

// inMode returns the fields of a policy with a mode.
func inMode(mode, breakerFields string) string { return breakerFields + "\n  mode: " + mode }

// fixedHeaders are the headers of the fallback in the tests' policy, without retry-after.
const fixedHeaders = "content-type: application/json\nx-a: 1\nx-b: 2\n"

// wantNoRetryAfter checks that the next call is rejected with the fallback and without retry-after.
func (r *rig) wantNoRetryAfter() {
	r.t.Helper()
	if got := setHeaders(r.t, r.rejected("http")); got != fixedHeaders {
		r.t.Errorf("headers\n%swant\n%s", got, fixedHeaders)
	}
}

// TestForcedOpenByPolicy shows that calls are rejected without retry-after.
func TestForcedOpenByPolicy(t *testing.T) {
	r := newRig(t, inMode("ForcedOpen", oneProbe))
	for range 3 {
		r.wantNoRetryAfter()
		r.after(wait)
	}
	if got, want := r.server.Counts(), (Counts{Rejected: 3}); got != want {
		t.Errorf("server counts %+v, want %+v", got, want)
	}
}

// TestForcedByHand shows that a breaker forced open rejects calls without retry-after, since an operator may change it at
// any time. A breaker forced closed admits calls whatever fails.
func TestForcedByHand(t *testing.T) {
	r := newRig(t, oneProbe)
	force := func(s breaker.State) {
		t.Helper()
		o := breaker.Override{State: s, By: "alice", Note: "drill", Until: r.now().Add(time.Hour)}
		if err := r.engine.Force(breaker.Key{Upstream: "http"}, o, r.now()); err != nil {
			t.Fatal(err)
		}
	}
	force(breaker.Open)
	r.wantNoRetryAfter()
	force(breaker.Closed)
	for range 3 {
		if answers, err := r.run("http", requestHeaders(), responseHeaders(":status", "500")); err != nil || answers[0].GetRequestHeaders() == nil {
			t.Errorf("answers %v and error %v, want the call admitted", answers, err)
		}
	}
}

// TestMetricsOnlyAdmits calls that another mode would have rejected.
func TestMetricsOnlyAdmits(t *testing.T) {
	for _, mode := range []string{"MetricsOnly", "Disabled"} {
		t.Run(mode, func(t *testing.T) {
			r := newRig(t, inMode(mode, oneProbe))
			for range 5 {
				answers, err := r.run("http", requestHeaders(), responseHeaders(":status", "500"))
				if err != nil || len(answers) != 2 || answers[0].GetRequestHeaders() == nil {
					t.Fatalf("answers %v and error %v, want the call admitted", answers, err)
				}
			}
			if got, want := r.server.Counts(), (Counts{Admitted: 5}); got != want {
				t.Errorf("server counts %+v, want %+v", got, want)
			}
			want := breaker.Counts{Requests: 5, Failures: 5}
			if mode == "MetricsOnly" {
				want.WouldReject = 4
			}
			if got := r.status("http").Counts; got != want {
				t.Errorf("counts %+v, want %+v", got, want)
			}
		})
	}
}

// TestRampSendsNoRetryAfter, since a closed breaker that admits a share of the calls does not know which ones.
func TestRampSendsNoRetryAfter(t *testing.T) {
	r := newRig(t, "{consecutiveFailures: 1, permittedNumberOfCallsInHalfOpenState: 1, successThreshold: 1, ramp: {duration: 1h}}")
	r.open("http")
	r.after(wait)
	if _, err := r.run("http", requestHeaders(), responseHeaders(":status", "200")); err != nil {
		t.Fatal(err)
	}
	rejected := 0
	for range 300 {
		answers, err := r.run("http", requestHeaders(), responseHeaders(":status", "200"))
		if err != nil {
			t.Fatal(err)
		}
		if immediate := answers[0].GetImmediateResponse(); immediate != nil {
			rejected++
			if got := setHeaders(t, immediate); got != fixedHeaders {
				t.Fatalf("headers\n%swant\n%s", got, fixedHeaders)
			}
		}
	}
	if rejected < 200 || rejected == 300 {
		t.Errorf("%d of 300 calls were rejected, want most and not all", rejected)
	}
}

// TestSlowness shows that the time to the response's headers decides, even though gRPC has its outcome later.
func TestSlowness(t *testing.T) {
	const threshold = 100 * time.Millisecond
	const at, before = "50/100050", "50/100049" // microseconds
	grpcHeaders := func(took string) event {
		return responseHeaders(":status", "200", "content-type", "application/grpc", wire.TimesHeader, took)
	}
	for _, tt := range []struct {
		name, upstream string
		events         []event
		slow           uint64
	}{
		{"HTTP", "http", []event{after(time.Hour, requestHeaders()), responseHeaders(":status", "200", wire.TimesHeader, at)}, 1},
		{"HTTP with a late body", "http", []event{whole(requestHeaders()), after(threshold-1, responseHeaders(":status", "200")), after(time.Hour, event{err: errCanceled})}, 0},
		{"gRPC", "grpc", []event{grpcRequest(), grpcHeaders(at), responseTrailers("grpc-status", "0")}, 1},
		{"gRPC in time", "grpc", []event{grpcRequest(), grpcHeaders(before), after(time.Hour, responseTrailers("grpc-status", "0"))}, 0},
		{"gRPC, trailers only", "grpc", []event{grpcRequest(), responseHeaders(":status", "200", "content-type", "application/grpc", "grpc-status", "5", wire.TimesHeader, at)}, 1},
		{"a client that left", "http", []event{requestHeaders(), after(time.Hour, event{err: errCanceled})}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, "{consecutiveFailures: 1000000, slowCallDurationThreshold: 100ms}")
			if _, err := r.run(tt.upstream, tt.events...); err != nil {
				t.Fatal(err)
			}
			if got := r.status(tt.upstream).Counts; got.Slow != tt.slow || got.Requests != 1 {
				t.Errorf("counts %+v, want 1 request, %d slow", got, tt.slow)
			}
		})
	}
}
