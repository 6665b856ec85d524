package extproc

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"breakwater.dev/breaker"
	"breakwater.dev/wire"
)

// wantOutcome serves a stream and checks the outcome of its call.
func wantOutcome(t *testing.T, upstream, want string, events ...event) {
	t.Helper()
	r := newRig(t, neverTrips)
	if _, err := r.run(upstream, events...); err != nil {
		t.Errorf("error %v, want none", err)
	}
	if got, want := r.status(upstream).Counts, outcomes(t, want); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
}

// flagNames are Envoy's response flags in order of their bits, as access logs print them.
var flagNames = []string{
	"LH", "UH", "UT", "LR", "UR", "UF", "UC", "UO", "NR", "DI", "FI", "RL", "UAEX", "RLSE", "DC", "URX",
	"SI", "IH", "DPE", "UMSDR", "RFCF", "NFCF", "DT", "UPE", "NC", "OM", "DF", "DO", "DR", "UDO",
}

// TestRule4Flags shows which of the proxy's own responses count against the upstream: timeouts, connect failures and
// resets do; overflow, rate limits and clients that left do not.
func TestRule4Flags(t *testing.T) {
	timeouts := []string{"UT", "UMSDR", "DT"}
	failures := []string{"UH", "LR", "UR", "UF", "UC", "URX", "UPE", "DF"}
	for bit, name := range flagNames {
		t.Run(name, func(t *testing.T) {
			want := "ignored"
			if slices.Contains(timeouts, name) {
				want = "timeout"
			} else if slices.Contains(failures, name) {
				want = "failure"
			}
			flags := float64(uint64(1) << bit)
			wantOutcome(t, "http", want, requestHeaders(), localReply("local", flags, ":status", "503"))
			wantOutcome(t, "grpc", want, grpcRequest(), localReply("local", flags, ":status", "200", "content-type", "application/grpc", "grpc-status", "14"))
			// A response that was passed on is the upstream's: the flags may come from an earlier attempt.
			wantOutcome(t, "http", "success", requestHeaders(), localReply("via_upstream", flags, ":status", "200"))
			wantOutcome(t, "http", "failure", requestHeaders(), localReply("via_upstream", flags, ":status", "503"))
		})
	}
}

func TestOrigin(t *testing.T) {
	const ut, uf, udo = 1 << 2, 1 << 5, 1 << 29
	for _, tt := range []struct {
		name    string
		details string
		flags   float64
		want    string
	}{
		{"no flag", "direct_response", 0, "ignored"},
		{"a gRPC client's own deadline, which sets no flag", "max_duration_timeout", 0, "ignored"},
		{"a timeout and a failure", "response_timeout", ut | uf, "timeout"},
		{"a failure and a flag that is ignored", "x", uf | udo, "failure"},
		{"an unknown flag", "x", 1 << 40, "ignored"},
		{"no details", "", ut, "failure"}, // the status decides
	} {
		t.Run(tt.name, func(t *testing.T) {
			wantOutcome(t, "http", tt.want, requestHeaders(), localReply(tt.details, tt.flags, ":status", "503"))
		})
	}
}

// TestAttributesOfAnyShape shows that a response without the expected attributes counts as the upstream's.
func TestAttributesOfAnyShape(t *testing.T) {
	for name, attributes := range map[string]map[string]*structpb.Struct{
		"none":    nil,
		"nil":     {"envoy.filters.http.ext_proc": nil},
		"empty":   {"envoy.filters.http.ext_proc": {}},
		"foreign": {"other": {Fields: map[string]*structpb.Value{"response.flags": structpb.NewNumberValue(1 << 2)}}},
		"types": {"envoy.filters.http.ext_proc": {Fields: map[string]*structpb.Value{
			"response.code_details": structpb.NewNumberValue(1), "response.flags": structpb.NewStringValue("UT"),
		}}},
		"null": {"envoy.filters.http.ext_proc": {Fields: map[string]*structpb.Value{"response.code_details": nil, "response.flags": nil}}},
	} {
		t.Run(name, func(t *testing.T) {
			e := responseHeaders(":status", "200")
			e.message.Attributes = attributes
			wantOutcome(t, "http", "success", requestHeaders(), e)
		})
	}
}

func TestStatusCodes(t *testing.T) {
	for code, want := range map[int]string{
		101: "success", 200: "success", 204: "success", 304: "success", 404: "success", 429: "success", 499: "success",
		500: "failure", 502: "failure", 503: "failure", 504: "failure", 599: "failure", 600: "failure",
	} {
		wantOutcome(t, "http", want, requestHeaders(), responseHeaders(":status", strconv.Itoa(code)))
	}
}

// TestHeaderValues shows that values are read from value as well, where old versions of Envoy send them.
func TestHeaderValues(t *testing.T) {
	e := responseHeaders(":status", "503")
	h := e.message.GetResponseHeaders().GetHeaders().GetHeaders()[0]
	h.Value, h.RawValue = string(h.RawValue), nil
	wantOutcome(t, "http", "failure", requestHeaders(), e)
}

// TestGRPCStatus shows that the status is read from the trailers, or from the headers of a response without a message. It
// is UNKNOWN if it is missing or not a number.
func TestGRPCStatus(t *testing.T) {
	failures := []string{"2", "4", "8", "13", "14", "15", "17", "-1", "99999999999999999999", "no", ""}
	all := slices.Clone(failures)
	for code := range 17 {
		all = append(all, strconv.Itoa(code))
	}
	for _, code := range all {
		t.Run(code, func(t *testing.T) {
			want := "success"
			if slices.Contains(failures, code) {
				want = "failure"
			}
			if code == "4" { // DEADLINE_EXCEEDED
				want = "timeout"
			}
			headers := responseHeaders(":status", "200", "content-type", "application/grpc+proto")
			wantOutcome(t, "grpc", want, grpcRequest(), headers, responseTrailers("grpc-status", code))
			only := responseHeaders(":status", "200", "content-type", "application/grpc", "grpc-status", code)
			only.message.GetResponseHeaders().EndOfStream = true
			wantOutcome(t, "grpc", want, grpcRequest(), only)
		})
	}
	wantOutcome(t, "grpc", "failure", grpcRequest(), responseHeaders(":status", "200", "content-type", "application/grpc"), responseTrailers())
}

// TestGRPCUpstreamThatSendsAPage shows that a page is a failure for a gRPC call, and a success for a caller that does not
// speak gRPC.
func TestGRPCUpstreamThatSendsAPage(t *testing.T) {
	page := func(status string) event { return responseHeaders(":status", status, "content-type", "text/html") }
	for _, tt := range []struct {
		request event
		status  string
		want    string
	}{
		{grpcRequest(), "200", "failure"},
		{grpcRequest(), "404", "success"},
		{grpcRequest(), "503", "failure"},
		{requestHeaders(), "200", "success"},
		{requestHeaders(), "503", "failure"},
	} {
		wantOutcome(t, "grpc", tt.want, tt.request, page(tt.status))
	}
	wantOutcome(t, "http", "success", grpcRequest(), page("200")) // for protocol HTTP1 only the status counts
}

// TestNoResponse shows that a call without a complete response is ignored until its log entry gives the reason.
func TestNoResponse(t *testing.T) {
	cut := after(time.Hour, event{err: errCanceled})
	wantOutcome(t, "grpc", "ignored", grpcRequest(), cut)
	wantOutcome(t, "http", "ignored", requestHeaders(), cut)
	wantOutcome(t, "grpc", "ignored", grpcRequest(), responseHeaders(":status", "200", "content-type", "application/grpc"), cut)
}

// whole returns e, a request, without a body.
func whole(e event) event {
	e.message.GetRequestHeaders().EndOfStream = true
	return e
}

// TestServiceTime shows that the time is taken from the proxy, from the end of the request to the headers of the response.
// If the proxy does not report it, it is known only for requests without a body.
func TestServiceTime(t *testing.T) {
	const second = time.Second
	grpcHeaders := func(took string) event {
		return responseHeaders(":status", "200", "content-type", "application/grpc", wire.TimesHeader, took)
	}
	end := after(time.Hour, event{err: errCanceled})
	for _, tt := range []struct {
		name     string
		upstream string
		events   []event
		want     time.Duration
		slow     uint64
	}{
		{"measured", "http", []event{requestHeaders(), after(second, responseHeaders(":status", "200", wire.TimesHeader, "10/1510")), end}, 1500 * time.Microsecond, 0},
		{"slow", "http", []event{requestHeaders(), after(9*second, responseHeaders(":status", "200", wire.TimesHeader, "7000000/9000000")), end}, 2 * second, 1},
		{"answered before the request had ended", "http", []event{requestHeaders(), after(9*second, responseHeaders(":status", "200", wire.TimesHeader, "-/5")), end}, 0, 0},
		{"upgraded", "http", []event{requestHeaders("upgrade", "websocket"), after(3*second, responseHeaders(":status", "101", wire.TimesHeader, "-/3000000")), end}, 3 * second, 1},
		{"not measured", "http", []event{requestHeaders(), after(9*second, responseHeaders(":status", "200")), end}, 0, 0},
		{"not measured, without a body", "http", []event{whole(requestHeaders()), after(3*second, responseHeaders(":status", "200")), end}, 3 * second, 1},
		{"timed out", "http", []event{requestHeaders(), after(9*second, localReply("response_timeout", 1<<2, ":status", "504", wire.TimesHeader, "8000000/-")), end}, second, 0},
		{"gRPC", "grpc", []event{grpcRequest(), after(second, grpcHeaders("0/7000")), after(9*second, responseTrailers("grpc-status", "0"))}, 7 * time.Millisecond, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, neverTrips)
			if _, err := r.run(tt.upstream, tt.events...); err != nil {
				t.Errorf("error %v, want none", err)
			}
			if want := []time.Duration{tt.want}; !slices.Equal(r.observed, want) {
				t.Errorf("observed %v, want %v", r.observed, want)
			}
			if got := r.status(tt.upstream).Counts.Slow; got != tt.slow {
				t.Errorf("%d slow calls, want %d", got, tt.slow)
			}
		})
	}
}

// TestTotalTime shows that the total time is from beginning to end, and that only calls with a response have one.
func TestTotalTime(t *testing.T) {
	r := newRig(t, neverTrips)
	for _, events := range [][]event{
		{requestHeaders(), after(time.Second, responseHeaders(":status", "200")), after(time.Hour, event{err: errCanceled})},
		{requestHeaders(), after(time.Second, event{err: errCanceled})},
		// The stream began 300 ms after the call.
		{requestHeaders(), after(time.Second, responseHeaders(":status", "200", wire.TimesHeader, "0/1300000")), after(time.Hour, event{err: errCanceled})},
	} {
		if _, err := r.run("http", events...); err != nil {
			t.Errorf("error %v, want none", err)
		}
	}
	if want := []time.Duration{time.Hour + time.Second, time.Hour + 1300*time.Millisecond}; !slices.Equal(r.lasted, want) {
		t.Errorf("lasted %v, want %v", r.lasted, want)
	}
}

// TestDeadlinesWithASlowControlPlane shows that a client's own deadline counts from the beginning of the call, not from
// the beginning of the stream.
func TestDeadlinesWithASlowControlPlane(t *testing.T) {
	for name, events := range map[string][]event{ // the stream begins 50 ms after the call
		"at once": {after(140*time.Millisecond, responseHeaders(":status", "200", "content-type", "application/grpc", "grpc-status", "4", wire.TimesHeader, "0/190000"))},
		"after its headers": {
			after(10*time.Millisecond, responseHeaders(":status", "200", "content-type", "application/grpc", wire.TimesHeader, "0/60000")),
			after(130*time.Millisecond, responseTrailers("grpc-status", "4")),
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, neverTrips)
			request := requestHeaders("content-type", "application/grpc", "grpc-timeout", "200m")
			if _, err := r.run("grpc", append([]event{request}, events...)...); err != nil {
				t.Errorf("error %v, want none", err)
			}
			if got := r.status("grpc").Counts; got.Failures != 0 || got.Ignored != 1 {
				t.Errorf("%+v, want one ignored call, as if the client had left", got)
			}
		})
	}
}

// TestUploadsAreNotSlow shows that the time that a caller takes for its request does not count as the service's time, even
// while the call is in flight.
func TestUploadsAreNotSlow(t *testing.T) {
	r := newRig(t, neverTrips)
	for _, tt := range []struct {
		request event
		want    uint64
	}{{requestHeaders(), 0}, {whole(requestHeaders()), 1}} {
		_, err := r.run("http", tt.request, event{after: time.Minute, before: func() {
			if got := r.status("http").Window.Slow; got != tt.want {
				t.Errorf("%d slow calls in flight, want %d", got, tt.want)
			}
		}, err: errCanceled})
		if err != nil {
			t.Error(err)
		}
	}
}

// TestGRPCProbes shows that a probe whose trailers do not follow its headers counts as a stream: its permit is resolved
// with a success, and its later ending corrects that.
func TestGRPCProbes(t *testing.T) {
	for _, tt := range []struct {
		name    string
		trailer string
		state   breaker.State
		counts  breaker.Counts
	}{
		{"ends well", "0", breaker.HalfOpen, breaker.Counts{Requests: 2, Failures: 1, Successes: 1}},
		{"fails", "14", breaker.Open, breaker.Counts{Requests: 2, Failures: 2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newHalfOpenRig(t)
				headers := responseHeaders(":status", "200", "content-type", "application/grpc")
				trailers := responseTrailers("grpc-status", tt.trailer)
				trailers.before = func() {
					if got := r.status("grpc").ProbesInFlight; got != 1 {
						t.Errorf("%d probes in flight at the headers, want 1", got)
					}
					time.Sleep(trailerWait)
					synctest.Wait()
					if s := r.status("grpc"); s.ProbesInFlight != 0 || s.Counts.Successes != 1 {
						t.Errorf("%+v, want a success, and no probe in flight", s)
					}
				}
				if _, err := r.run("grpc", grpcRequest(), headers, trailers); err != nil {
					t.Fatal(err)
				}
				if s := r.status("grpc"); s.State != tt.state || s.Counts != tt.counts {
					t.Errorf("%s with %+v, want %s with %+v", s.State, s.Counts, tt.state, tt.counts)
				}
			})
		})
	}
}

// TestProbesAreMarked with their id, for the log entry.
func TestProbesAreMarked(t *testing.T) {
	r := newHalfOpenRig(t)
	answers, err := r.run("http", requestHeaders(), responseHeaders(":status", "200"))
	if err != nil {
		t.Fatal(err)
	}
	marks := answers[0].GetDynamicMetadata().GetFields()[wire.Namespace].GetStructValue().AsMap()
	if process, id := wire.ProbeOf([]byte(fmt.Sprint(marks[wire.ProbeKey]))); process != 7 || id == 0 || len(marks) != 1 {
		t.Errorf("marks %v, want the probe's id", marks)
	}
	if got := answers[1].GetDynamicMetadata(); got != nil {
		t.Errorf("the answer to the response's headers has marks %v", got)
	}
}

// TestStreamsCountWhenTheyEnd, because a response may break off until then. A long response does not make the call slow.
func TestStreamsCountWhenTheyEnd(t *testing.T) {
	r := newRig(t, neverTrips)
	_, err := r.run("http", whole(requestHeaders()), responseHeaders(":status", "200", wire.TimesHeader, "0/1000"), event{after: time.Hour, before: func() {
		if s := r.status("http"); s.Counts.Successes != 0 || s.InFlight != 1 || s.Window.Slow != 0 {
			t.Errorf("%+v, want one call in flight that is not slow, and nothing counted", s)
		}
	}, err: errCanceled})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := r.status("http").Counts, outcomes(t, "success"); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
}

// TestUnsent shows that a probe that was sent to no endpoint is ignored, gives its permit back, and gets the fallback. The
// next probe waits for a second. In a closed breaker, such a call is a failure.
func TestUnsent(t *testing.T) {
	for _, flags := range []float64{1 << 1, 1 << 7, 1 << 24, 1 << 26} { // UH, UO, NC, DF
		r := newHalfOpenRig(t)
		before := r.status("http")
		unsent := localReply("no_healthy_upstream", flags, ":status", "503")
		answers, err := r.run("http", requestHeaders(), unsent)
		if err != nil || len(answers) != 2 || answers[1].GetImmediateResponse() == nil {
			t.Fatalf("flags %g: answers %v and error %v, want a fallback", flags, answers, err)
		}
		after := r.status("http")
		if after.State != breaker.HalfOpen || after.Counts.Ignored != before.Counts.Ignored+1 {
			t.Errorf("flags %g: the breaker is %s with %+v, want half-open and one more ignored", flags, after.State, after.Counts)
		}
		if _, d := r.engine.Acquire(after.Key, r.now().Add(time.Second-1)); d.Admitted {
			t.Errorf("flags %g: another probe within a second", flags)
		}
		r.wantResolved("http")
	}
	for flags, want := range map[float64]breaker.Counts{
		1 << 1:        {Requests: 1, Failures: 1},
		1<<1 | 1<<5:   {Requests: 1, Failures: 1}, // an earlier attempt was refused
		1 << 7:        {Requests: 1, Ignored: 1},
		1<<24 | 1<<20: {Requests: 1, Ignored: 1},
	} {
		r := newRig(t, neverTrips)
		before := r.status("http").Counts
		answers, err := r.run("http", requestHeaders(), localReply("x", flags, ":status", "503"))
		if err != nil || len(answers) != 2 || answers[1].GetResponseHeaders() == nil {
			t.Errorf("flags %g, closed: answers %v and error %v, want that the response passes", flags, answers, err)
		}
		r.wantOne("http", before, want)
	}
	r := newHalfOpenRig(t)
	if _, err := r.run("http", requestHeaders(), localReply("x", 1<<1|1<<5, ":status", "503")); err != nil || r.status("http").State != breaker.Open {
		t.Errorf("after a probe that was refused, and then found no endpoint, the breaker is %s, %v, want open", r.status("http").State, err)
	}
}
