package feed

import (
	"maps"
	"strings"
	"testing"
	"time"

	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"breakwater.dev/breaker"
	"breakwater.dev/wire"
)

// TestRule4Outcomes: where the proxy itself ended a request, timeouts, failed connections and resets are failures of the
// upstream; overflow, rate limits and clients that left are not.
func TestRule4Outcomes(t *testing.T) {
	type flags = datav3.ResponseFlags
	for _, tt := range []struct {
		name    string
		code    uint32
		details string
		flags   *flags
		want    breaker.Outcome
	}{
		{"answered", 200, "via_upstream", nil, breaker.Success},
		{"not found", 404, "via_upstream", nil, breaker.Success},
		{"server error", 500, "via_upstream", nil, breaker.Failure},
		{"no details", 503, "", nil, breaker.Failure},
		{"timeout", 504, "response_timeout", &flags{UpstreamRequestTimeout: true}, breaker.Timeout},
		{"refused", 503, "upstream_reset_before_response_started{remote_connection_failure}", &flags{UpstreamConnectionFailure: true}, breaker.Failure},
		{"closed", 503, "upstream_reset_before_response_started{connection_termination}", &flags{UpstreamConnectionTermination: true}, breaker.Failure},
		{"reset", 503, "upstream_reset_before_response_started{remote_reset}", &flags{UpstreamRemoteReset: true}, breaker.Failure},
		{"no healthy endpoint", 503, "no_healthy_upstream", &flags{NoHealthyUpstream: true}, breaker.Failure},
		{"no such name", 503, "dns_resolution_failure", &flags{DnsResolutionFailure: true}, breaker.Failure},
		{"nonsense answered", 502, "upstream_reset_before_response_started{protocol_error}", &flags{UpstreamProtocolError: true}, breaker.Failure},
		{"overflow", 503, "upstream_reset_before_response_started{overflow}", &flags{UpstreamOverflow: true}, breaker.Ignored},
		{"rate limited", 429, "request_rate_limited", &flags{RateLimited: true}, breaker.Ignored},
		{"client left", 0, "downstream_remote_disconnect", &flags{DownstreamConnectionTermination: true}, breaker.Ignored},
		{"client left in the middle", 200, "downstream_remote_disconnect", &flags{DownstreamConnectionTermination: true}, breaker.Success},
		{"client left a broken answer", 500, "downstream_remote_disconnect", &flags{DownstreamConnectionTermination: true}, breaker.Failure},
		{"client's own deadline", 504, "max_duration_timeout", nil, breaker.Ignored},
		{"broke off in the body", 200, "via_upstream", &flags{UpstreamRemoteReset: true}, breaker.Failure},
		{"too long in the body", 200, "response_timeout", &flags{UpstreamRequestTimeout: true}, breaker.Timeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.take(r.logged(route("web", wire.RouteSampled), func(e *datav3.HTTPAccessLogEntry) {
				e.Response.ResponseCode, e.Response.ResponseCodeDetails = wrapperspb.UInt32(tt.code), tt.details
				e.CommonProperties.ResponseFlags = tt.flags
				if tt.details != "via_upstream" && tt.code != 200 && tt.code != 500 {
					e.CommonProperties.TimeToFirstUpstreamRxByte = nil
				}
			}))
			r.want("web", countsOf(tt.want))
		})
	}
}

// countsOf are the counts of a breaker that has had one call.
func countsOf(o breaker.Outcome) breaker.Counts {
	c := breaker.Counts{Requests: 1}
	switch o {
	case breaker.Success:
		c.Successes = 1
	case breaker.Failure:
		c.Failures = 1
	case breaker.Timeout:
		c.Failures, c.Timeouts = 1, 1
	case breaker.Ignored:
		c.Ignored = 1
	}
	return c
}

// TestFlagsOfAnEarlierAttempt do not change what the response means that came in the end.
func TestFlagsOfAnEarlierAttempt(t *testing.T) {
	r := newRig(t)
	r.take(r.logged(route("web", wire.RouteSampled), func(e *datav3.HTTPAccessLogEntry) {
		e.CommonProperties.ResponseFlags = &datav3.ResponseFlags{UpstreamRemoteReset: true}
		e.CommonProperties.UpstreamRequestAttemptCount = 2
	}))
	r.want("web", countsOf(breaker.Success))
}

// TestGRPCStatus is in the trailers, or in the headers of a response without a body.
func TestGRPCStatus(t *testing.T) {
	for _, tt := range []struct {
		name              string
		code              uint32
		headers, trailers map[string]string
		details           string
		want              breaker.Outcome
	}{
		{"OK", 200, nil, map[string]string{"grpc-status": "0"}, "via_upstream", breaker.Success},
		{"business", 200, nil, map[string]string{"grpc-status": "5"}, "via_upstream", breaker.Success},
		{"unavailable", 200, nil, map[string]string{"grpc-status": "14", "grpc-message": "0"}, "via_upstream", breaker.Failure},
		{"deadline", 200, nil, map[string]string{"grpc-status": "4"}, "via_upstream", breaker.Timeout},
		{"trailers only", 200, map[string]string{"grpc-status": "14"}, nil, "via_upstream", breaker.Failure},
		{"trailers are later", 200, map[string]string{"grpc-status": "0"}, map[string]string{"grpc-status": "13"}, "via_upstream", breaker.Failure},
		{"no number", 200, nil, map[string]string{"grpc-status": "x"}, "via_upstream", breaker.Failure},
		{"empty", 200, nil, map[string]string{"grpc-status": ""}, "via_upstream", breaker.Failure},
		{"a page", 200, nil, nil, "via_upstream", breaker.Failure},
		{"an error page", 404, nil, nil, "via_upstream", breaker.Success},
		{"client left before the trailers", 200, nil, nil, "downstream_remote_disconnect", breaker.Ignored},
		{"client's own deadline, found by the service", 200, nil, map[string]string{"grpc-status": "4", "deadline": "1m"}, "via_upstream", breaker.Ignored},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.take(r.logged(route("grpc", wire.RouteSampled), func(e *datav3.HTTPAccessLogEntry) {
				e.Request = &datav3.HTTPRequestProperties{RequestHeaders: map[string]string{"content-type": "application/grpc", "grpc-timeout": tt.trailers["deadline"]}}
				headers := maps.Clone(tt.headers)
				if !strings.Contains(tt.name, "page") {
					if headers == nil {
						headers = map[string]string{}
					}
					headers["content-type"] = "application/grpc"
				}
				e.Response = &datav3.HTTPResponseProperties{
					ResponseCode: wrapperspb.UInt32(tt.code), ResponseCodeDetails: tt.details,
					ResponseHeaders: headers, ResponseTrailers: tt.trailers,
				}
			}))
			r.want("grpc", countsOf(tt.want))
		})
	}
}

// halfOpen makes a breaker half-open.
func (r *rig) halfOpen(upstream string) {
	r.t.Helper()
	key := breaker.Key{Upstream: upstream}
	forced := breaker.Override{State: breaker.Open, By: "test", Note: "to see it probe", Until: r.now.Add(time.Second)}
	if err := r.engine.Force(key, forced, r.now); err != nil {
		r.t.Fatal(err)
	}
	r.now = r.now.Add(time.Second)
	if s := r.engine.Breaker(key).Status(r.now); s.State != breaker.HalfOpen {
		r.t.Fatalf("%s is %s, want half-open", upstream, s.State)
	}
}

// TestUnsentConnections: a connection for which there was no endpoint is a failure while the breaker is closed, and ignored in
// half-open. A connection that an endpoint refused before is a failure there too.
func TestUnsentConnections(t *testing.T) {
	const ended = datav3.AccessLogType_TcpConnectionEnd
	r := newRig(t)
	noEndpoint := func(c *datav3.AccessLogCommon) {
		c.ResponseFlags, c.UpstreamRemoteAddress = &datav3.ResponseFlags{NoHealthyUpstream: true}, nil
	}
	r.connections(r.connection(ended, noEndpoint))
	r.want("db", breaker.Counts{Requests: 1, Failures: 1})

	r.halfOpen("db")
	r.now = r.now.Add(time.Second)
	just := func(c *datav3.AccessLogCommon) {
		noEndpoint(c)
		c.StartTime, c.Duration = timestamppb.New(wall(r.now)), nil
	}
	r.connections(r.connection(ended, just))
	key := breaker.Key{Upstream: "db"}
	if s := r.engine.Breaker(key).Status(r.now); s.State != breaker.HalfOpen || s.Counts.Ignored != 1 {
		t.Errorf("it is %s with %+v, want half-open and one ignored", s.State, s.Counts)
	}
	refused := func(c *datav3.AccessLogCommon) {
		just(c)
		c.ResponseFlags.UpstreamConnectionFailure = true
	}
	r.connections(r.connection(ended, refused))
	if s := r.engine.Breaker(key).Status(r.now); s.State != breaker.Open {
		t.Errorf("it is %s after an attempt was refused, want open", s.State)
	}
}

// TestUnsentRequests: where nothing is rejected, all requests are probes. One for which there was no endpoint is ignored in
// half-open. A request that was sent before, and for which there was no endpoint the next time, is a failure.
func TestUnsentRequests(t *testing.T) {
	for attempts, want := range map[uint32]struct {
		state  breaker.State
		counts breaker.Counts
	}{
		0: {breaker.HalfOpen, breaker.Counts{Requests: 1, Ignored: 1}},
		1: {breaker.HalfOpen, breaker.Counts{Requests: 1, Ignored: 1}},
		2: {breaker.Open, breaker.Counts{Requests: 1, Failures: 1}},
	} {
		r := newRig(t)
		r.halfOpen("watched")
		r.now = r.now.Add(time.Second)
		r.take(r.logged(route("watched", wire.RouteSampled), func(e *datav3.HTTPAccessLogEntry) {
			unanswered(time.Millisecond, &datav3.ResponseFlags{NoHealthyUpstream: true})(e)
			e.CommonProperties.UpstreamRequestAttemptCount = attempts
			e.Response = &datav3.HTTPResponseProperties{ResponseCode: wrapperspb.UInt32(503), ResponseCodeDetails: "no_healthy_upstream"}
		}))
		s := r.engine.Breaker(breaker.Key{Upstream: "watched"}).Status(r.now)
		if s.State != want.state || s.Counts != want.counts {
			t.Errorf("after %d attempts it is %s with %+v, want %s with %+v", attempts, s.State, s.Counts, want.state, want.counts)
		}
	}
}

// TestWhoNoticesTheTimeoutFirst makes no difference: the service, whose response is only a status, or the proxy. Sending the
// request took one second of the 10 s that the policy gives the call.
func TestWhoNoticesTheTimeoutFirst(t *testing.T) {
	for name, edit := range map[string]func(e *datav3.HTTPAccessLogEntry){
		"service": func(e *datav3.HTTPAccessLogEntry) {
			e.CommonProperties.TimeToFirstUpstreamRxByte = durationpb.New(10 * time.Second)
			e.Response.ResponseHeaders = map[string]string{"content-type": "application/grpc", "grpc-status": "4"}
			e.Response.ResponseCodeDetails = "via_upstream"
		},
		"proxy": func(e *datav3.HTTPAccessLogEntry) {
			e.CommonProperties.TimeToFirstUpstreamRxByte = nil
			e.Response.ResponseCodeDetails = "max_duration_timeout"
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.take(r.logged(route("grpc", wire.RouteSampled), func(e *datav3.HTTPAccessLogEntry) {
				e.CommonProperties.Duration, e.CommonProperties.TimeToLastRxByte = durationpb.New(10*time.Second), durationpb.New(time.Second)
				e.Request = &datav3.HTTPRequestProperties{RequestHeaders: map[string]string{"content-type": "application/grpc"}}
				e.Response = &datav3.HTTPResponseProperties{ResponseCode: wrapperspb.UInt32(200)}
				edit(e)
			}))
			r.want("grpc", breaker.Counts{Requests: 1, Ignored: 1, Slow: 1})
		})
	}
}
