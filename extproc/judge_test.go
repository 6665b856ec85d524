package extproc

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/structpb"
)

// wantOutcome serves a stream and checks what its call was counted as.
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

// TestRule4Flags: of the proxy's own answers, timeouts, connect failures and resets
// count against the upstream; overflow, rate limits and clients that left do not.
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
			// An answer that was passed on is the upstream's: flags may tell of an earlier attempt.
			wantOutcome(t, "http", "success", requestHeaders(), localReply(viaUpstream, flags, ":status", "200"))
			wantOutcome(t, "http", "failure", requestHeaders(), localReply(viaUpstream, flags, ":status", "503"))
		})
	}
}

func TestOrigin(t *testing.T) {
	const udo = 1 << 29
	for _, tt := range []struct {
		name    string
		details string
		flags   float64
		want    string
	}{
		{"no flag", "direct_response", 0, "ignored"},
		{"a gRPC client's deadline has no flag", "max_duration_timeout", 0, "timeout"},
		{"a timeout beats a failure", "response_timeout", upstreamTimeout | connectFailure, "timeout"},
		{"a failure beats what is ours", "x", connectFailure | udo, "failure"},
		{"a flag that we do not know", "x", 1 << 40, "ignored"},
		{"not explained", "", upstreamTimeout, "failure"}, // by its status
	} {
		t.Run(tt.name, func(t *testing.T) {
			wantOutcome(t, "http", tt.want, requestHeaders(), localReply(tt.details, tt.flags, ":status", "503"))
		})
	}
}

// TestAttributesOfAnyShape: an answer that is not explained as expected is the upstream's.
func TestAttributesOfAnyShape(t *testing.T) {
	for name, attributes := range map[string]map[string]*structpb.Struct{
		"none":    nil,
		"nil":     {"envoy.filters.http.ext_proc": nil},
		"empty":   {"envoy.filters.http.ext_proc": {}},
		"foreign": {"other": {Fields: map[string]*structpb.Value{"response.flags": structpb.NewNumberValue(upstreamTimeout)}}},
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

// TestHeaderValues: Envoy sends values in raw_value; older ones in value.
func TestHeaderValues(t *testing.T) {
	e := responseHeaders(":status", "503")
	h := e.message.GetResponseHeaders().GetHeaders().GetHeaders()[0]
	h.Value, h.RawValue = string(h.RawValue), nil
	wantOutcome(t, "http", "failure", requestHeaders(), e)
}

// TestGRPCStatus is read from the trailers, from a response that consists of trailers
// only, and is UNKNOWN where it is missing or no number.
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

// TestGRPCUpstreamThatAnswersOtherwise: a page is no answer to a gRPC call, though it
// is one to a caller that did not speak gRPC.
func TestGRPCUpstreamThatAnswersOtherwise(t *testing.T) {
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
	wantOutcome(t, "http", "success", grpcRequest(), page("200")) // protocol HTTP1: by status alone
}

// TestGRPCWithoutTrailers: the time tells a call that was cut at its deadline from a
// client that lost interest.
func TestGRPCWithoutTrailers(t *testing.T) {
	answered := responseHeaders(":status", "200", "content-type", "application/grpc")
	for _, tt := range []struct {
		name   string
		policy time.Duration
		took   time.Duration
		want   string
	}{
		{"before the timeout", timeout, timeout - 1, "ignored"},
		{"at the timeout", timeout, timeout, "timeout"},
		{"after the timeout", timeout, 2 * timeout, "timeout"},
		{"without a timeout", 0, time.Hour, "ignored"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, neverTrips)
			for _, u := range r.set.Upstreams {
				u.Routes[0].Timeout = tt.policy
			}
			r.apply()
			if _, err := r.run("grpc", grpcRequest(), answered, after(tt.took, event{err: errCanceled})); err != nil {
				t.Errorf("error %v, want none", err)
			}
			if got, want := r.status("grpc").Counts, outcomes(t, tt.want); got != want {
				t.Errorf("counts %+v, want %+v", got, want)
			}
		})
	}
	// A client that left before there was any answer is no timeout, however long it waited.
	wantOutcome(t, "grpc", "ignored", grpcRequest(), after(time.Hour, event{err: errCanceled}))
	wantOutcome(t, "http", "ignored", requestHeaders(), after(time.Hour, event{err: errCanceled}))
}

// TestTimeOfACall is from its admission to its outcome.
func TestTimeOfACall(t *testing.T) {
	r := newRig(t, neverTrips)
	grpcHeaders := responseHeaders(":status", "200", "content-type", "application/grpc")
	for _, events := range [][]event{
		{after(time.Hour, requestHeaders()), after(time.Second, responseHeaders(":status", "200")), after(time.Hour, event{err: errCanceled})},
		{grpcRequest(), after(time.Second, grpcHeaders), after(time.Second, responseTrailers("grpc-status", "0"))},
		{requestHeaders(), after(time.Second, event{err: errCanceled})},
	} {
		upstream := "http"
		if events[0].message.GetRequestHeaders().GetHeaders().GetHeaders() != nil {
			upstream = "grpc"
		}
		if _, err := r.run(upstream, events...); err != nil {
			t.Errorf("error %v, want none", err)
		}
	}
	if want := []time.Duration{time.Second, 2 * time.Second}; !slices.Equal(r.observed, want) {
		t.Errorf("observed %v, want %v", r.observed, want)
	}
}
