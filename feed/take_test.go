package feed

import (
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	alsv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"breakwater.dev/breaker"
	"breakwater.dev/wire"
)

// TestRoutes: whose call it was, and whether it counts, is in the name of the route.
func TestRoutes(t *testing.T) {
	for route, want := range map[string]struct {
		upstream string
		counts   breaker.Counts
	}{
		route("web", wire.RouteSampled):        {"web", breaker.Counts{Requests: 8, Successes: 8}},
		route("web/charge", wire.RouteSampled): {"web", breaker.Counts{Requests: 8, Successes: 8}}, // shares the breaker
		route("web", wire.RouteClosed):         {"web", breaker.Counts{}},                          // logged for somebody else's sake
		route("web", wire.RouteProbe):          {"web", breaker.Counts{}},                          // asked for a permit, and ended as it seemed to
		route("web", wire.RouteCounted):        {"web", breaker.Counts{Requests: 8, Rejected: 8}},
		"web":                                  {"web", breaker.Counts{}},
		route("inline", wire.RouteSampled):     {"inline", breaker.Counts{}},
		route("nobody", wire.RouteSampled):     {"web", breaker.Counts{}},
		"":                                     {"web", breaker.Counts{}},
	} {
		r := newRig(t)
		r.server.Applied("one", every(8), 0)
		r.take(r.logged(route, nil))
		if got := r.counts(want.upstream); got != want.counts {
			t.Errorf("%s: %+v, want %+v", route, got, want.counts)
		}
	}
}

// TestAnswered: what rejected calls got is in the log where copies of responses are kept, and
// breakers that were asked know of the rejection already.
func TestAnswered(t *testing.T) {
	r := newRig(t)
	copied := func(e *datav3.HTTPAccessLogEntry) {
		e.CommonProperties.ResponseFlags, e.Response.ResponseCodeDetails = nil, "lua_response"
	}
	r.take(r.logged(route("inline", wire.RouteRejected), copied), r.logged(route("inline", wire.RouteRejected), nil), r.logged(route("inline", wire.RouteRejected), copied), r.logged(route("web", wire.RouteRejected), copied))
	want := map[string]uint64{"inline cached true": 2, "inline cached false": 1}
	if diff := cmp.Diff(want, r.answered); diff != "" {
		t.Errorf("answered (-want +got):\n%s", diff)
	}
	r.want("inline", breaker.Counts{})
	if got := r.server.Counts(); got.Rejected != 4 {
		t.Errorf("counts %+v, want 4 rejected", got)
	}
}

// TestWeights: failures and slow calls are told of one by one wherever they were, and
// other calls in a sample.
func TestWeights(t *testing.T) {
	r := newRig(t)
	r.server.Applied("one", every(16), 0)
	slow := took(2 * time.Second)
	for _, name := range []string{route("web", wire.RouteSampled), route("web", wire.RouteClosed)} {
		r.take(r.logged(name, answered(500)), r.logged(name, slow), r.logged(name, nil), r.logged(name, nil))
	}
	r.want("web", breaker.Counts{Requests: 2 + 2 + 2*16, Failures: 2, Successes: 2 + 2*16, Slow: 2})
	if got := r.observed[breaker.Key{Upstream: "web"}]; got != 2+2+2*16 {
		t.Errorf("%d durations, want 36", got)
	}
	if got := r.server.Counts(); got.Reported != 6 || got.Skipped != 2 {
		t.Errorf("counts %+v, want 6 reported and 2 skipped", got)
	}
}

// TestServiceTime: only the service's time makes a call slow, and counts in the metrics.
func TestServiceTime(t *testing.T) {
	const second = time.Second
	for name, tt := range map[string]struct {
		change func(*datav3.HTTPAccessLogEntry)
		counts breaker.Counts
		took   time.Duration
	}{
		"stream": {func(e *datav3.HTTPAccessLogEntry) {
			took(5 * second)(e)
			e.CommonProperties.TimeToFirstUpstreamRxByte = durationpb.New(second)
		}, breaker.Counts{Requests: 1, Successes: 1}, second},
		"upload": {func(e *datav3.HTTPAccessLogEntry) {
			took(5 * second)(e)
			e.CommonProperties.TimeToLastRxByte = durationpb.New(4 * second)
		}, breaker.Counts{Requests: 1, Successes: 1}, second},
		"slow":           {took(2 * second), breaker.Counts{Requests: 1, Successes: 1, Slow: 1}, 2 * second},
		"left":           {unanswered(second, left), breaker.Counts{Requests: 1, Ignored: 1}, 0},
		"left when slow": {unanswered(2*second, left), breaker.Counts{Requests: 1, Ignored: 1, Slow: 1}, 0},
		"left in the upload": {func(e *datav3.HTTPAccessLogEntry) {
			unanswered(2*second, left)(e)
			e.CommonProperties.TimeToLastRxByte = nil
		}, breaker.Counts{Requests: 1, Ignored: 1}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.take(r.logged(route("web", wire.RouteSampled), tt.change))
			r.want("web", tt.counts)
			if got := r.took; got != tt.took {
				t.Errorf("observed %s, want %s", got, tt.took)
			}
		})
	}
}

// probe marks a call as the control plane does.
func probe(id string) *corev3.Metadata {
	marks, err := structpb.NewStruct(map[string]any{wire.ProbeKey: id})
	if err != nil {
		panic(err) // a map of texts can always be one
	}
	return &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{wire.Namespace: marks}}
}

// TestCorrections: of a call that asked for a permit, the log tells what was not known at its
// headers, and nothing twice.
func TestCorrections(t *testing.T) {
	cut := func(e *datav3.HTTPAccessLogEntry) {
		e.Response.ResponseCodeDetails = "upstream_reset_after_response_started{remote_reset}"
		e.CommonProperties.ResponseFlags = &datav3.ResponseFlags{UpstreamRemoteReset: true}
	}
	for name, tt := range map[string]struct {
		change  func(*datav3.HTTPAccessLogEntry)
		settled breaker.Outcome
		want    breaker.Counts
	}{
		"answered":        {nil, breaker.Success, breaker.Counts{Requests: 1, Successes: 1}},
		"failed":          {answered(500), breaker.Failure, breaker.Counts{Requests: 1, Failures: 1}},
		"broken off":      {cut, breaker.Success, breaker.Counts{Requests: 1, Failures: 1}},
		"left":            {unanswered(time.Second, left), breaker.Ignored, breaker.Counts{Requests: 1, Ignored: 1}},
		"left when slow":  {unanswered(2*time.Second, left), breaker.Ignored, breaker.Counts{Requests: 1, Ignored: 1, Slow: 1}},
		"broken and slow": {func(e *datav3.HTTPAccessLogEntry) { took(3 * time.Second)(e); cut(e) }, breaker.Success, breaker.Counts{Requests: 1, Failures: 1, Slow: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			b := r.engine.Breaker(breaker.Key{Upstream: "inline"})
			permit, _ := b.AcquireUploading(r.now)
			r.now = r.now.Add(5 * time.Second)
			e := r.logged("inline", tt.change)
			permit.Settle(tt.settled, e.CommonProperties.TimeToFirstUpstreamRxByte.AsDuration(), r.now)
			r.take(e, r.logged(route("inline", wire.RouteSampled), answered(500)))
			r.settled("inline", tt.want)
		})
	}
}

// TestProbesThatUpload give their permits back: a probe is logged while it runs.
func TestProbesThatUpload(t *testing.T) {
	r := newRig(t)
	key := breaker.Key{Upstream: "web"}
	b := r.engine.Breaker(key)
	if err := r.engine.Force(key, breaker.Override{State: breaker.Open, By: "test", Note: "to see it probe", Until: r.now.Add(time.Second)}, r.now); err != nil {
		t.Fatal(err)
	}
	r.now = r.now.Add(time.Second)
	permit, _ := b.AcquireUploading(r.now)
	running := func(ended bool) *datav3.HTTPAccessLogEntry {
		e := r.logged(route("web", wire.RouteProbe), unanswered(time.Second, nil))
		c := e.CommonProperties
		c.AccessLogType, c.Duration = datav3.AccessLogType_DownstreamPeriodic, nil
		c.Metadata = probe(wire.Probe(process, permit.Probe()))
		if !ended {
			c.TimeToLastRxByte = nil
		}
		return e
	}
	foreign := running(false)
	foreign.CommonProperties.Metadata = probe(wire.Probe(process+1, permit.Probe()))
	r.take(running(true), foreign)
	if got := b.Status(r.now).ProbesInFlight; got != 1 {
		t.Errorf("%d probes in flight when the request has ended, want 1", got)
	}
	r.take(running(false))
	if got := b.Status(r.now).ProbesInFlight; got != 0 {
		t.Errorf("%d probes in flight while the request goes on, want none", got)
	}
	permit.Settle(breaker.Failure, 0, r.now)
	if s := b.Status(r.now); s.State != breaker.HalfOpen || s.Counts.Failures != 1 {
		t.Errorf("%+v, want half-open, and the failure judged by nobody", s)
	}
}

// TestNodesHaveBreakersOfTheirOwn in a scope of nodes.
func TestNodesHaveBreakersOfTheirOwn(t *testing.T) {
	r := newRig(t)
	r.take(r.logged(route("own", wire.RouteClosed), answered(500)), r.logged(route("own", wire.RouteCounted), nil))
	own := r.engine.Breaker(breaker.Key{Upstream: "own", Node: "one"})
	if own == nil {
		t.Fatal("the proxy has no breaker")
	}
	if got, want := own.Status(r.now).Counts, (breaker.Counts{Requests: 2, Failures: 1, Rejected: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestEndpoints: what became of calls is told of endpoints that the mesh judges.
func TestEndpoints(t *testing.T) {
	r := newRig(t)
	r.server.Applied("one", every(4), 0)
	at := func(address string, change func(*datav3.HTTPAccessLogEntry)) *datav3.HTTPAccessLogEntry {
		e := r.logged(route("web", wire.RouteSampled), change)
		e.CommonProperties.UpstreamRemoteAddress = remote(address)
		return e
	}
	refused := func(e *datav3.HTTPAccessLogEntry) {
		answered(503)(e)
		e.Response.ResponseCodeDetails = "upstream_reset_before_response_started{remote_connection_failure}"
		e.CommonProperties.ResponseFlags = &datav3.ResponseFlags{UpstreamConnectionFailure: true}
		e.CommonProperties.TimeToFirstUpstreamRxByte = nil
	}
	slowReader := func(e *datav3.HTTPAccessLogEntry) {
		e.Response.ResponseCodeDetails, e.Response.ResponseBodyBytes = "response_timeout", 1<<20
		e.CommonProperties.ResponseFlags = &datav3.ResponseFlags{UpstreamRequestTimeout: true}
	}
	hangs := func(e *datav3.HTTPAccessLogEntry) {
		slowReader(e)
		e.Response.ResponseBodyBytes = 0
	}
	r.take(at("10.0.0.2:80", slowReader), at("10.0.0.2:80", hangs))
	r.take(at("10.0.0.1:80", nil), at("[2001:db8::1]:81", answered(500)), at("10.0.0.1:80", refused), at("10.0.0.1:80", unanswered(time.Millisecond, left)), r.logged(route("web", wire.RouteSampled), nil), r.logged(route("own", wire.RouteSampled), nil))
	for i := range r.told {
		if r.told[i].At > r.now {
			t.Errorf("outcome %d is %s to come", i, r.told[i].At.Sub(r.now))
		}
		r.told[i].At = 0
	}
	want := []EndpointOutcome{
		{Endpoint: mustAddress("10.0.0.2:80"), Status: 200, Calls: 4, OneIn: 4},
		{Endpoint: mustAddress("10.0.0.2:80"), Status: 200, Local: true, Calls: 1, OneIn: 4},
		{Endpoint: mustAddress("10.0.0.1:80"), Status: 200, Calls: 4, OneIn: 4},
		{Endpoint: mustAddress("[2001:db8::1]:81"), Status: 500, Calls: 1, OneIn: 4},
		{Endpoint: mustAddress("10.0.0.1:80"), Status: 503, Local: true, Calls: 1, OneIn: 4},
	}
	if diff := cmp.Diff(want, r.told, cmp.Comparer(sameAddress)); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
}

// connection is an entry of a connection, as Envoy 1.40 writes it.
func (r *rig) connection(kind datav3.AccessLogType, change func(*datav3.AccessLogCommon)) *datav3.TCPAccessLogEntry {
	c := &datav3.AccessLogCommon{
		StartTime: timestamppb.New(wall(r.now.Add(-time.Minute))), Duration: durationpb.New(time.Minute),
		UpstreamRemoteAddress: remote("10.0.0.5:5432"), AccessLogType: kind,
	}
	if kind == datav3.AccessLogType_TcpUpstreamConnected {
		c.StartTime, c.Duration = timestamppb.New(wall(r.now)), nil
	}
	if change != nil {
		change(c)
	}
	return &datav3.TCPAccessLogEntry{CommonProperties: c}
}

func (r *rig) connections(all ...*datav3.TCPAccessLogEntry) {
	r.t.Helper()
	r.worker.upstream = "db"
	r.message(&alsv3.StreamAccessLogsMessage{LogEntries: &alsv3.StreamAccessLogsMessage_TcpLogs{
		TcpLogs: &alsv3.StreamAccessLogsMessage_TCPAccessLogEntries{LogEntry: all},
	}})
}

// TestConnections: establishing one is the call; what it is used for is not.
func TestConnections(t *testing.T) {
	const connected, ended = datav3.AccessLogType_TcpUpstreamConnected, datav3.AccessLogType_TcpConnectionEnd
	r := newRig(t)
	flagged := func(f *datav3.ResponseFlags, reason string) func(*datav3.AccessLogCommon) {
		return func(c *datav3.AccessLogCommon) { c.ResponseFlags, c.UpstreamTransportFailureReason = f, reason }
	}
	turned := func(c *datav3.AccessLogCommon) {
		c.ResponseFlags, c.UpstreamRemoteAddress = &datav3.ResponseFlags{UpstreamOverflow: true}, nil
	}
	r.connections(r.connection(connected, nil), r.connection(connected, nil), r.connection(connected, nil))
	if got := r.server.Links("db", "one").Connections; got != 3 {
		t.Errorf("%d connections, want 3", got)
	}
	r.connections(r.connection(ended, nil))
	r.connections(r.connection(ended, flagged(&datav3.ResponseFlags{UpstreamConnectionFailure: true, UpstreamRetryLimitExceeded: true}, "delayed connect error: Connection refused")))
	r.connections(r.connection(ended, flagged(&datav3.ResponseFlags{UpstreamConnectionFailure: true}, "connection timeout")))
	r.connections(r.connection(ended, flagged(&datav3.ResponseFlags{UpstreamConnectionTermination: true}, "")))
	r.connections(r.connection(ended, turned), r.connection(datav3.AccessLogType_TcpPeriodic, nil))
	r.want("db", breaker.Counts{Requests: 7, Successes: 3, Failures: 3, Timeouts: 1, Rejected: 1})
	if got := r.server.Links("db", "one").Connections; got != 1 {
		t.Errorf("%d connections, want 1", got)
	}
	if got := r.server.Links("db", "two").Connections; got != 0 {
		t.Errorf("%d connections of a proxy that nobody knows", got)
	}
}

// TestLinks: what a proxy tells of its connections, and of who wants one.
func TestLinks(t *testing.T) {
	const started, connected, ended = datav3.AccessLogType_TcpConnectionStart, datav3.AccessLogType_TcpUpstreamConnected, datav3.AccessLogType_TcpConnectionEnd
	r := newRig(t)
	nowhere := func(f *datav3.ResponseFlags) func(*datav3.AccessLogCommon) {
		return func(c *datav3.AccessLogCommon) { c.ResponseFlags, c.UpstreamRemoteAddress = f, nil }
	}
	refused := nowhere(&datav3.ResponseFlags{UpstreamOverflow: true})
	want := func(when string, want Links) {
		t.Helper()
		if diff := cmp.Diff(want, r.server.Links("db", "one"), cmpopts.IgnoreUnexported(Links{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
	want("nothing is known", Links{})
	began := r.now
	r.connections(r.connection(started, nowhere(nil)), r.connection(started, nowhere(nil)))
	want("two are being made", Links{Connecting: 2, Called: began})
	r.connections(r.connection(connected, nil), r.connection(ended, nowhere(&datav3.ResponseFlags{UpstreamConnectionFailure: true})))
	want("one is made, one is not", Links{Connections: 1, Called: began, Admitted: began})
	r.now = r.now.Add(5 * time.Second)
	for range 3 {
		r.connections(r.connection(started, nowhere(nil)), r.connection(ended, refused))
	}
	want("refused", Links{Connections: 1, Called: r.now, Admitted: began, Refused: r.now, Pause: 5 * time.Second})
	called := r.now
	r.now = r.now.Add(3 * time.Second)
	r.connections(r.connection(ended, nil))
	want("the one has ended, which is no call", Links{Called: called, Admitted: began, Refused: called, Pause: 5 * time.Second})
	r.connections(r.connection(ended, refused))
	want("a proxy that logs no starts", Links{Called: r.now, Admitted: began, Refused: r.now, Pause: 3 * time.Second})
	r.connections(r.connection(connected, nil), r.connection(started, nil))
	r.server.Began("one")
	want("another process", Links{Called: r.now, Admitted: r.now, Refused: r.now, Pause: 3 * time.Second})
}

// TestLinksWhoseEndIsLost: of a connection that began and of which nothing more is told, it is known after a while that it is made no
// longer, also where others are turned away all the time.
func TestLinksWhoseEndIsLost(t *testing.T) {
	const started, ended = datav3.AccessLogType_TcpConnectionStart, datav3.AccessLogType_TcpConnectionEnd
	const attempt = 10*time.Second + mostHeldBack // the policy's timeout, and the time to tell
	for _, retries := range []bool{false, true} {
		r := newRig(t)
		nowhere := func(c *datav3.AccessLogCommon) { c.UpstreamRemoteAddress = nil }
		refused := func(c *datav3.AccessLogCommon) {
			nowhere(c)
			c.ResponseFlags = &datav3.ResponseFlags{UpstreamOverflow: true}
		}
		r.connections(r.connection(started, nowhere), r.connection(ended, refused))
		r.now = r.now.Add(time.Minute)
		r.connections(r.connection(started, nowhere))
		for began := r.now; r.now <= began.Add(attempt); r.now = r.now.Add(time.Second) {
			if retries {
				r.connections(r.connection(started, nowhere), r.connection(ended, refused))
			}
			if got := r.server.Links("db", "one").Connecting; got != 1 {
				t.Fatalf("%s after it began, retries %t: %d are being made, want 1", r.now.Sub(began), retries, got)
			}
		}
		if got := r.server.Links("db", "one").Connecting; got != 0 {
			t.Errorf("retries %t: %d are being made, want none", retries, got)
		}
		r.connections(r.connection(started, nowhere))
		if got := r.server.Links("db", "one").Connecting; got != 1 {
			t.Errorf("retries %t: %d are being made after another began, want 1", retries, got)
		}
	}
}
