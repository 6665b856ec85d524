package feed

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	alsv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"breakwater.dev/breaker"
	"breakwater.dev/gate"
	"breakwater.dev/internal/alslog"
	"breakwater.dev/outlier"
	"breakwater.dev/policy"
	"breakwater.dev/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const policies = `apiVersion: breakwater.dev/v1alpha1
kind: Upstream
metadata: {name: web}
spec:
  endpoints: [{address: 10.0.0.1, port: 80}, {address: "2001:db8::1", port: 81}]
  routes: [{name: charge, match: {pathPrefix: /charge}}]
---
apiVersion: breakwater.dev/v1alpha1
kind: Upstream
metadata: {name: grpc}
spec: {protocol: GRPC, endpoints: [{address: 10.0.0.2, port: 80}]}
---
apiVersion: breakwater.dev/v1alpha1
kind: Upstream
metadata: {name: own}
spec: {endpoints: [{address: 10.0.0.3, port: 80}]}
---
apiVersion: breakwater.dev/v1alpha1
kind: Upstream
metadata: {name: inline}
spec: {endpoints: [{address: 10.0.0.4, port: 80}]}
---
apiVersion: breakwater.dev/v1alpha1
kind: Upstream
metadata: {name: watched}
spec: {endpoints: [{address: 10.0.0.6, port: 80}]}
---
apiVersion: breakwater.dev/v1alpha1
kind: Upstream
metadata: {name: db}
spec: {protocol: TCP, port: 15432, endpoints: [{address: 10.0.0.5, port: 5432}]}
---
apiVersion: breakwater.dev/v1alpha1
kind: BreakerPolicy
metadata: {name: mesh}
spec:
  targetRefs: [{kind: Mesh}]
  breaker: {consecutiveFailures: 0, failureRateThreshold: 100%, minimumNumberOfCalls: 1000000}
---
apiVersion: breakwater.dev/v1alpha1
kind: BreakerPolicy
metadata: {name: web}
spec:
  targetRefs: [{kind: Upstream, name: web}]
  outlierDetection: {scope: Mesh, alwaysEjectOneEndpoint: true}
---
apiVersion: breakwater.dev/v1alpha1
kind: BreakerPolicy
metadata: {name: own}
spec: {targetRefs: [{kind: Upstream, name: own}], scope: Node}
---
apiVersion: breakwater.dev/v1alpha1
kind: BreakerPolicy
metadata: {name: watched}
spec: {targetRefs: [{kind: Upstream, name: watched}], mode: MetricsOnly}
---
apiVersion: breakwater.dev/v1alpha1
kind: BreakerPolicy
metadata: {name: inline}
spec: {targetRefs: [{kind: Upstream, name: inline}], dataPath: Inline, fallback: {cached: {}}}
`

// rig is a feed with its engine, a clock that the test sets, and a stream of a proxy called "one" whose own clock is an
// hour ahead.
type rig struct {
	t         testing.TB
	now       breaker.Instant
	engine    *breaker.Engine
	server    *Server
	node      *node
	worker    *worker
	observed  map[breaker.Key]uint64
	took      time.Duration // the last duration in observed
	answered  map[string]uint64
	endpoints []outlier.Outcome
}

const (
	ahead   = time.Hour
	process = 7
)

func newRig(t testing.TB) *rig {
	r := &rig{t: t, now: breaker.Instant(10 * time.Hour), engine: breaker.NewEngine(breaker.Options{}), observed: map[breaker.Key]uint64{}, answered: map[string]uint64{}}
	set, problems := policy.Parse([]policy.File{{Name: "policy.yaml", Data: []byte(policies)}}, policy.BuiltinDefaults())
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	r.engine.Apply(set.Specs(), r.now)
	r.server = NewServer(Options{
		Process: process, Decider: r.engine.Decider(),
		Now:     func() breaker.Instant { return r.now },
		Observe: func(key breaker.Key, took, _ time.Duration, n uint64) { r.observed[key] += n; r.took = took },
		Answered: func(key breaker.Key, cached bool, n uint64) {
			r.answered[fmt.Sprintf("%s cached %t", key, cached)] += n
		},
		Endpoints: func(_ string, outcomes []outlier.Outcome) { r.endpoints = append(r.endpoints, outcomes...) },
		Log:       slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	r.server.Apply(set)
	r.node = r.server.node("one", "")
	r.worker = newWorker(r.server, r.node, "")
	return r
}

// wall returns what the proxy's clock shows at an instant.
func wall(i breaker.Instant) time.Time { return time.Unix(0, int64(i)).Add(ahead) }

// logged is the entry of a request that has just ended after a millisecond, with a change.
func (r *rig) logged(route string, change func(*datav3.HTTPAccessLogEntry)) *datav3.HTTPAccessLogEntry {
	e := &datav3.HTTPAccessLogEntry{
		CommonProperties: &datav3.AccessLogCommon{
			StartTime: timestamppb.New(wall(r.now.Add(-time.Millisecond))), Duration: durationpb.New(time.Millisecond),
			TimeToLastRxByte: durationpb.New(0), TimeToFirstUpstreamRxByte: durationpb.New(time.Millisecond),
			RouteName: route, UpstreamRequestAttemptCount: 1, AccessLogType: datav3.AccessLogType_DownstreamEnd,
		},
		Response: &datav3.HTTPResponseProperties{ResponseCode: wrapperspb.UInt32(200), ResponseCodeDetails: "via_upstream"},
	}
	if change != nil {
		change(e)
	}
	return e
}

// took makes a request take d, all of it in the service.
func took(d time.Duration) func(*datav3.HTTPAccessLogEntry) {
	return func(e *datav3.HTTPAccessLogEntry) {
		c := e.GetCommonProperties()
		end := c.GetStartTime().AsTime().Add(c.GetDuration().AsDuration())
		c.StartTime, c.Duration = timestamppb.New(end.Add(-d)), durationpb.New(d)
		c.TimeToFirstUpstreamRxByte = durationpb.New(d)
	}
}

// unanswered makes a request end after d without a response.
func unanswered(d time.Duration, flags *datav3.ResponseFlags) func(*datav3.HTTPAccessLogEntry) {
	return func(e *datav3.HTTPAccessLogEntry) {
		took(d)(e)
		e.CommonProperties.TimeToFirstUpstreamRxByte, e.CommonProperties.ResponseFlags = nil, flags
		e.Response = &datav3.HTTPResponseProperties{ResponseCodeDetails: "local"}
	}
}

// left are the flags of a request whose client closed its connection.
var left = &datav3.ResponseFlags{DownstreamConnectionTermination: true}

// answered gives a response another status.
func answered(code uint32) func(*datav3.HTTPAccessLogEntry) {
	return func(e *datav3.HTTPAccessLogEntry) { e.Response.ResponseCode = wrapperspb.UInt32(code) }
}

// take has the worker count a message with entries of requests.
func (r *rig) take(entries ...*datav3.HTTPAccessLogEntry) {
	r.t.Helper()
	r.message(&alsv3.StreamAccessLogsMessage{LogEntries: &alsv3.StreamAccessLogsMessage_HttpLogs{
		HttpLogs: &alsv3.StreamAccessLogsMessage_HTTPAccessLogEntries{LogEntry: entries},
	}})
}

// message has the worker count a message.
func (r *rig) message(m *alsv3.StreamAccessLogsMessage) {
	r.t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		r.t.Fatal(err)
	}
	var read alslog.Message
	if err := read.Read(data); err != nil {
		r.t.Fatal(err)
	}
	if err := r.worker.take(&read, r.now); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) counts(upstream string) breaker.Counts {
	return r.engine.Breaker(breaker.Key{Upstream: upstream}).Status(r.now).Counts
}

// want fails the test if the breaker of an upstream has other counts.
func (r *rig) want(upstream string, want breaker.Counts) {
	r.t.Helper()
	if got := r.counts(upstream); got != want {
		r.t.Errorf("%s: %+v, want %+v", upstream, got, want)
	}
}

// corrected is want after the corrections have waited long enough.
func (r *rig) corrected(upstream string, want breaker.Counts) {
	r.t.Helper()
	next, ok := r.worker.reportDue(r.now.Add(correctionDelay - 1))
	if ok && next != r.now.Add(correctionDelay) {
		r.t.Errorf("the next correction is due in %s, want %s", next.Sub(r.now), correctionDelay)
	}
	if _, ok := r.worker.reportDue(r.now.Add(correctionDelay)); ok {
		r.t.Error("there are corrections that still wait")
	}
	r.want(upstream, want)
}

// oneIn is a sampling by which one call in n is logged, of every breaker.
func oneIn(n uint32) *gate.Mix { return sampled(densities(n)) }

// densities are the sampling of all breakers of the fixture.
func densities(n uint32) map[breaker.Key]wire.Sampling {
	sampling := map[breaker.Key]wire.Sampling{}
	for _, upstream := range []string{"web", "grpc", "own", "inline", "watched", "db"} {
		sampling[breaker.Key{Upstream: upstream}] = wire.Sampling{Passed: n, Rejected: n}
	}
	return sampling
}

// sampled returns gates that let all calls through, with a sampling.
func sampled(by map[breaker.Key]wire.Sampling) *gate.Mix {
	var gates []gate.Gate
	for key, s := range by {
		gates = append(gates, gate.Gate{Key: key, Sampling: s})
	}
	return gate.Uniform(gate.NewSet(gates, gate.LogFilter{}))
}

// remote is the address of an endpoint.
func remote(address string) *corev3.Address {
	a := netip.MustParseAddrPort(address)
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: a.Addr().String(), PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(a.Port())},
	}}}
}

// client connects to the server over a real gRPC connection.
func (r *rig) client() alsv3.AccessLogServiceClient {
	r.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	server := grpc.NewServer(grpc.ForceServerCodecV2(Codec()))
	r.server.Register(server)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			r.t.Error(err)
		}
		server.Stop()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
	})
	return alsv3.NewAccessLogServiceClient(conn)
}

// eventually waits until check returns true.
func (r *rig) eventually(what string, check func() bool) {
	r.t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !check() {
		select {
		case <-deadline.C:
			r.t.Fatalf("%s: not within 20 s; counts %+v", what, r.server.Counts())
		case <-tick.C:
		}
	}
}

// route is the name of a route of the given kind.
func route(name string, kind wire.RouteKind) string {
	return wire.RouteName(breaker.ParseKey(name), kind)
}
