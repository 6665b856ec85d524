package feed

import (
	"net/netip"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	"breakwater.dev/breaker"
	"breakwater.dev/outlier"
	"breakwater.dev/wire"
)

// TestRoutes: the name of its route says to which breaker a request belongs, and whether its entry counts.
func TestRoutes(t *testing.T) {
	for route, want := range map[string]struct {
		upstream string
		counts   breaker.Counts
	}{
		route("web", wire.RouteSampled):        {"web", breaker.Counts{Requests: 8, Successes: 8}},
		route("web/charge", wire.RouteSampled): {"web", breaker.Counts{Requests: 8, Successes: 8}}, // shares the breaker
		route("web", wire.RouteClosed):         {"web", breaker.Counts{}},                          // logged for another reason
		route("web", wire.RouteProbe):          {"web", breaker.Counts{}},                          // asked for a permit, and ended as its headers said
		route("web", wire.RouteCounted):        {"web", breaker.Counts{Requests: 8, Rejected: 8}},
		"web":                                  {"web", breaker.Counts{}},
		route("inline", wire.RouteSampled):     {"inline", breaker.Counts{}},
		route("unknown", wire.RouteSampled):    {"web", breaker.Counts{}},
		"":                                     {"web", breaker.Counts{}},
	} {
		r := newRig(t)
		r.server.Applied("one", oneIn(8), 0)
		r.take(r.logged(route, nil))
		if got := r.counts(want.upstream); got != want.counts {
			t.Errorf("%s: %+v, want %+v", route, got, want.counts)
		}
	}
}

// TestKinds: the kind of its route, and the data path of its breaker, decide whether the entry of a failed request counts.
func TestKinds(t *testing.T) {
	reported, rejected, skipped := Counts{Reported: 1}, Counts{Rejected: 1}, Counts{Skipped: 1}
	want := map[wire.RouteKind]struct{ adaptive, inline Counts }{
		wire.RouteWhole:    {skipped, reported},
		wire.RouteRejected: {rejected, rejected},
		wire.RouteCounted:  {rejected, skipped},
		wire.RouteOpen:     {skipped, skipped},
		wire.RouteProbe:    {reported, skipped},
		wire.RouteAsking:   {skipped, skipped},
		wire.RouteExact:    {reported, skipped},
		wire.RouteSampled:  {reported, skipped},
		wire.RouteClosed:   {reported, skipped},
	}
	for kind := range wire.RouteClosed + 1 { // the last one
		tt, known := want[kind]
		if !known {
			t.Errorf("the test does not say whether entries of kind %q count", kind)
		}
		for upstream, want := range map[string]Counts{"web": tt.adaptive, "inline": tt.inline} {
			r := newRig(t)
			r.take(r.logged(route(upstream, kind), brokenOff))
			if got := r.server.Counts(); got != want {
				t.Errorf("%s, kind %q: %+v, want %+v", upstream, kind, got, want)
			}
		}
	}
}

// TestAnswered: where proxies keep copies of responses, the log says what rejected requests were answered with. A breaker that
// rejected them itself does not count them again.
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

// TestWeights: each failure and each slow call is logged, on any route, and represents itself. The others are logged by sampling.
func TestWeights(t *testing.T) {
	r := newRig(t)
	r.server.Applied("one", oneIn(16), 0)
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

// TestServiceTime: only the service's time makes a call slow, and is in the metrics.
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

// probe is the metadata with which the control plane marks a probe.
func probe(id string) *corev3.Metadata {
	marks, err := structpb.NewStruct(map[string]any{wire.ProbeKey: id})
	if err != nil {
		panic(err) // cannot happen: the map has only strings
	}
	return &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{wire.Namespace: marks}}
}

// brokenOff has the service reset its response after the headers, which is a failure that the headers do not show.
func brokenOff(e *datav3.HTTPAccessLogEntry) {
	e.Response.ResponseCodeDetails = "upstream_reset_after_response_started{remote_reset}"
	e.CommonProperties.ResponseFlags = &datav3.ResponseFlags{UpstreamRemoteReset: true}
}

// TestCorrections: where a request that asked for a permit ended otherwise than the headers of its response said, the log
// corrects its outcome. Nothing is counted twice.
func TestCorrections(t *testing.T) {
	for name, tt := range map[string]struct {
		change  func(*datav3.HTTPAccessLogEntry)
		settled breaker.Outcome
		want    breaker.Counts
	}{
		"answered":        {nil, breaker.Success, breaker.Counts{Requests: 1, Successes: 1}},
		"failed":          {answered(500), breaker.Failure, breaker.Counts{Requests: 1, Failures: 1}},
		"broken off":      {brokenOff, breaker.Success, breaker.Counts{Requests: 1, Failures: 1}},
		"left":            {unanswered(time.Second, left), breaker.Ignored, breaker.Counts{Requests: 1, Ignored: 1}},
		"left when slow":  {unanswered(2*time.Second, left), breaker.Ignored, breaker.Counts{Requests: 1, Ignored: 1, Slow: 1}},
		"broken and slow": {func(e *datav3.HTTPAccessLogEntry) { took(3 * time.Second)(e); brokenOff(e) }, breaker.Success, breaker.Counts{Requests: 1, Failures: 1, Slow: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			b := r.engine.Breaker(breaker.Key{Upstream: "inline"})
			permit, _ := b.AcquireUploading(r.now)
			r.now = r.now.Add(5 * time.Second)
			e := r.logged("inline", tt.change)
			permit.Settle(tt.settled, e.CommonProperties.TimeToFirstUpstreamRxByte.AsDuration(), r.now)
			r.take(e, r.logged(route("inline", wire.RouteSampled), answered(500)))
			r.corrected("inline", tt.want)
		})
	}
}

// TestProbesThatUpload give their permits back when they are logged before their requests have ended.
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
		t.Errorf("%+v, want half-open, and the failure counted but not judged", s)
	}
}

// TestNodesHaveBreakersOfTheirOwn where the scope of the policy is Node.
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

// TestEndpoints: outcomes at endpoints are passed on where outlier detection has the scope Mesh.
func TestEndpoints(t *testing.T) {
	r := newRig(t)
	r.server.Applied("one", oneIn(4), 0)
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
	r.take(at("10.0.0.1:80", nil), at("[2001:db8::1]:81", answered(500)), at("10.0.0.1:80", refused), at("10.0.0.1:80", unanswered(time.Millisecond, left)), r.logged(route("web", wire.RouteSampled), nil), r.logged(route("own", wire.RouteSampled), nil), at("10.0.0.1:80", answered(502)))
	for i := range r.endpoints {
		if r.endpoints[i].At > r.now {
			t.Errorf("outcome %d is %s in the future", i, r.endpoints[i].At.Sub(r.now))
		}
		r.endpoints[i].At = 0
	}
	want := []outlier.Outcome{
		{Endpoint: netip.MustParseAddrPort("10.0.0.2:80"), Class: outlier.Success, Calls: 4, OneIn: 4},
		{Endpoint: netip.MustParseAddrPort("10.0.0.2:80"), Class: outlier.LocalOrigin, Calls: 1, OneIn: 4},
		{Endpoint: netip.MustParseAddrPort("10.0.0.1:80"), Class: outlier.Success, Calls: 4, OneIn: 4},
		{Endpoint: netip.MustParseAddrPort("[2001:db8::1]:81"), Class: outlier.ServerError, Calls: 1, OneIn: 4},
		{Endpoint: netip.MustParseAddrPort("10.0.0.1:80"), Class: outlier.LocalOrigin, Calls: 1, OneIn: 4},
		{Endpoint: netip.MustParseAddrPort("10.0.0.1:80"), Class: outlier.GatewayError, Calls: 1, OneIn: 4},
	}
	if diff := cmp.Diff(want, r.endpoints, cmp.Comparer(func(x, y netip.AddrPort) bool { return x == y })); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
}
