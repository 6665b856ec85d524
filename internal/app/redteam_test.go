package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	alsv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"breakwater.dev/breaker"
	"breakwater.dev/wire"
	"breakwater.dev/xds"
)

// mesh is the policy of these tests: an upstream of each data path, and one with a breaker for each proxy. The workload shop
// calls the first two.
const mesh = `apiVersion: breakwater.dev/v1alpha1
kind: Upstream
metadata: {name: inline}
spec: {endpoints: [{address: 10.0.0.7, port: 80}]}
---
apiVersion: breakwater.dev/v1alpha1
kind: Upstream
metadata: {name: adaptive}
spec: {endpoints: [{address: 10.0.0.8, port: 80}]}
---
apiVersion: breakwater.dev/v1alpha1
kind: Upstream
metadata: {name: own}
spec: {endpoints: [{address: 10.0.0.9, port: 80}]}
---
apiVersion: breakwater.dev/v1alpha1
kind: BreakerPolicy
metadata: {name: mesh}
spec:
  targetRefs: [{kind: Mesh}]
  timeout: 700ms
  breaker: {consecutiveFailures: 5, waitDurationInOpenState: 100ms, successThreshold: 1, permittedNumberOfCallsInHalfOpenState: 3}
---
apiVersion: breakwater.dev/v1alpha1
kind: BreakerPolicy
metadata: {name: inline}
spec: {targetRefs: [{kind: Upstream, name: inline}], dataPath: Inline}
---
apiVersion: breakwater.dev/v1alpha1
kind: BreakerPolicy
metadata: {name: own}
spec: {targetRefs: [{kind: Upstream, name: own}], dataPath: Inline, scope: Node}
`

// rule has the rule of identity in deploy/k8s, and one for DNS names.
var rule = []string{"spiffe://{any}/ns/{any}/sa/{workload}", "dns:{workload}.{any}.svc"}

const (
	shop  = "spiffe://cluster.local/ns/shop/sa/shop"
	thief = "spiffe://cluster.local/ns/other/sa/thief"
)

// proxy returns the node of a proxy. With upstreams, its metadata lists them.
func proxy(id, cluster string, upstreams ...any) *corev3.Node {
	n := &corev3.Node{Id: id, Cluster: cluster}
	if len(upstreams) > 0 {
		fields, err := structpb.NewStruct(map[string]any{wire.MetadataUpstreams: upstreams})
		if err != nil {
			panic(err) // the test's own literal
		}
		n.Metadata = fields
	}
	return n
}

// configure opens a configuration stream, and returns its first response.
func configure(t *testing.T, c *grpc.ClientConn, n *corev3.Node) (*discoveryv3.DeltaDiscoveryResponse, error) {
	t.Helper()
	st, err := discoveryv3.NewAggregatedDiscoveryServiceClient(c).DeltaAggregatedResources(t.Context())
	must(t, err)
	if err := st.Send(&discoveryv3.DeltaDiscoveryRequest{Node: n, TypeUrl: xds.ClusterType}); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return st.Recv()
}

// ask opens the ext_proc stream of one request, and returns its first response.
func ask(t *testing.T, c *grpc.ClientConn, upstream, id string) (extprocv3.ExternalProcessor_ProcessClient, *extprocv3.ProcessingResponse, error) {
	t.Helper()
	ctx := metadata.AppendToOutgoingContext(t.Context(), "x-breakwater-breaker", upstream)
	st, err := extprocv3.NewExternalProcessorClient(c).Process(ctx)
	must(t, err)
	m := &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_RequestHeaders{
		RequestHeaders: &extprocv3.HttpHeaders{EndOfStream: true},
	}}
	if id != "" {
		fields, err := structpb.NewStruct(map[string]any{"xds.node.id": id})
		must(t, err)
		m.Attributes = map[string]*structpb.Struct{"envoy.filters.http.ext_proc": fields}
	}
	if err := st.Send(m); err != nil && !errors.Is(err, io.EOF) { // Recv returns the error that ended the stream
		t.Fatal(err)
	}
	answer, err := st.Recv()
	return st, answer, err
}

// fail makes a request that gets the response 500.
func fail(t *testing.T, c *grpc.ClientConn, upstream, id string) error {
	t.Helper()
	st, answer, err := ask(t, c, upstream, id)
	if err != nil || answer.GetImmediateResponse() != nil {
		return err
	}
	must(t, st.Send(&extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_ResponseHeaders{ResponseHeaders: &extprocv3.HttpHeaders{
		EndOfStream: true, Headers: &corev3.HeaderMap{Headers: []*corev3.HeaderValue{{Key: ":status", RawValue: []byte("500")}}},
	}}}))
	if _, err := st.Recv(); err != nil {
		return err
	}
	return st.CloseSend()
}

// failures returns log entries of n failed requests to an upstream that ended at a time.
func failures(upstream string, n int, end time.Time) []*datav3.HTTPAccessLogEntry {
	var all []*datav3.HTTPAccessLogEntry
	for range n {
		all = append(all, &datav3.HTTPAccessLogEntry{
			CommonProperties: &datav3.AccessLogCommon{
				StartTime: timestamppb.New(end.Add(-time.Millisecond)), TimeToLastDownstreamTxByte: durationpb.New(time.Millisecond),
				RouteName: wire.RouteName(breaker.Key{Upstream: upstream}, wire.RouteClosed),
			},
			Response: &datav3.HTTPResponseProperties{ResponseCode: wrapperspb.UInt32(500), ResponseCodeDetails: "via_upstream"},
		})
	}
	return all
}

// report sends log entries of failed requests to the upstream adaptive that ended at a time. It returns the error that
// ended the stream.
func report(t *testing.T, c *grpc.ClientConn, n *corev3.Node, entries int, end time.Time) error {
	t.Helper()
	return reportEntries(t, c, n, failures("adaptive", entries, end))
}

func reportEntries(t *testing.T, c *grpc.ClientConn, n *corev3.Node, entries []*datav3.HTTPAccessLogEntry) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	st, err := alsv3.NewAccessLogServiceClient(c).StreamAccessLogs(ctx)
	must(t, err)
	m := &alsv3.StreamAccessLogsMessage{Identifier: &alsv3.StreamAccessLogsMessage_Identifier{Node: n, LogName: wire.RequestLog}}
	m.LogEntries = &alsv3.StreamAccessLogsMessage_HttpLogs{HttpLogs: &alsv3.StreamAccessLogsMessage_HTTPAccessLogEntries{LogEntry: entries}}
	if err := st.Send(m); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	_, err = st.CloseAndRecv()
	return err
}

// denied checks that a claim was refused with an error that has the given words.
func denied(t *testing.T, claim string, err error, says ...string) {
	t.Helper()
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("%s: %v; want PermissionDenied", claim, err)
		return
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%s: %v; must say %q", claim, err, s)
		}
	}
}

// guarded runs a control plane with rules of identity.
func guarded(t *testing.T) *served {
	t.Helper()
	o := options(t, mesh)
	o.NodeIdentity = rule
	return run(t, o)
}

// TestAnotherWorkloadCannotActAsAProxy shows that no service accepts a proxy whose certificate belongs to another workload,
// whatever the certificate's subject is.
func TestAnotherWorkloadCannotActAsAProxy(t *testing.T) {
	s := guarded(t)
	for name, c := range map[string]*grpc.ClientConn{
		"another workload":     s.dial(t, s.authority.client(t, "thief", thief)),
		"by its subject":       s.dial(t, s.authority.client(t, "shop-0", thief)),
		"with no name":         s.dial(t, s.authority.client(t, "shop-0")),
		"longer name":          s.dial(t, s.authority.client(t, "x", "spiffe://cluster.local/ns/shop/sa/shop-2")),
		"beginning of it":      s.dial(t, s.authority.client(t, "x", "sho.shop.svc")),
		"a wildcard":           s.dial(t, s.authority.client(t, "x", "*.shop.svc")),
		"more segments":        s.dial(t, s.authority.client(t, "x", "spiffe://cluster.local/ns/shop/sa/shop/shop")),
		"a name in front":      s.dial(t, s.authority.client(t, "x", "shop.evil.example.svc")),
		"another kind of name": s.dial(t, s.authority.client(t, "x", "https://cluster.local/ns/shop/sa/shop")),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := configure(t, c, proxy("shop-0", "shop"))
			denied(t, "xDS", err, `"shop-0"`, `"shop"`)
			denied(t, "the feed", report(t, c, proxy("shop-0", "shop"), 1, time.Now()), `"shop-0"`)
			_, _, err = ask(t, c, "own", "shop-0")
			denied(t, "ext_proc", err, "--node-identity")
		})
	}
	for _, service := range []string{"xds", "access_log", "ext_proc"} {
		want := fmt.Sprintf("breakwater_proxies_refused_total{reason=\"identity\",service=%q} 9", service)
		if page := s.get(t, "/metrics"); !strings.Contains(page, want) {
			t.Errorf("the metrics do not have %s", want)
		}
	}
	if !strings.Contains(s.log.String(), "reason=identity") || !strings.Contains(s.log.String(), thief) {
		t.Error("the log does not say that the certificate was refused")
	}
}

// TestAProxyActsAsItself shows that a proxy is accepted by each kind of name in its certificate.
func TestAProxyActsAsItself(t *testing.T) {
	s := guarded(t)
	for name, names := range map[string][]string{
		"URI": {shop}, "DNS": {"shop.shop.svc"}, "the second of several": {"www.example.com", thief, shop},
	} {
		c := s.dial(t, s.authority.client(t, "x", names...))
		for _, id := range []string{"shop", "shop-0", "shop-7d9f8b6c5d-x2x4k", "shop-x2x4k"} {
			answer, err := configure(t, c, proxy(id, "shop"))
			if err != nil || len(answer.GetResources()) != 3 {
				t.Errorf("%s as %s: %d clusters, %v; want 3", name, id, len(answer.GetResources()), err)
			}
		}
		_, err := configure(t, c, proxy("shop-backend-0", "shop"))
		denied(t, name+" as a pod of another workload", err, `"shop-backend-0"`)
		_, err = configure(t, c, proxy("shop-0", "payments"))
		denied(t, name+" of another workload", err, `"payments"`)
	}
}

// TestReportsOfStrangersDoNotCount shows that a proxy with a certificate cannot open the breakers of a healthy service that
// it does not call, and that a proxy that calls the service can.
func TestReportsOfStrangersDoNotCount(t *testing.T) {
	s := guarded(t)
	stranger := s.dial(t, s.authority.client(t, "thief", thief))
	attack := func(name string) {
		for range 6 {
			if err := fail(t, stranger, "inline", ""); err != nil {
				t.Fatalf("%s: a stream failed: %v", name, err)
			}
		}
		if err := report(t, stranger, proxy("thief-0", "thief"), 200, time.Now()); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, upstream := range []string{"inline", "adaptive"} {
			if b := s.breaker(t, upstream); b.State != "closed" || b.Counts.Failures > 0 {
				t.Errorf("%s: %s is %+v", name, upstream, b)
			}
		}
	}
	attack("without a configuration stream")
	if answer, err := configure(t, stranger, proxy("thief-0", "thief", "own")); err != nil || len(answer.GetResources()) != 1 {
		t.Fatalf("a proxy that lists one upstream got %d clusters, %v", len(answer.GetResources()), err)
	}
	attack("with a list of another upstream")
	for _, service := range []string{"ext_proc", "access_log"} {
		if page := s.get(t, "/metrics"); strings.Contains(page, fmt.Sprintf("refused_total{reason=\"upstream\",service=%q} 0", service)) {
			t.Errorf("%s counts no report as refused", service)
		}
	}

	friend := s.dial(t, s.authority.client(t, "shop", shop))
	_, err := configure(t, friend, proxy("shop-0", "shop", "inline", "adaptive"))
	must(t, err)
	eventually(t, "the reports of a caller count", func() error {
		must(t, fail(t, friend, "inline", ""))
		must(t, report(t, friend, proxy("shop-0", "shop"), 6, time.Now()))
		for _, upstream := range []string{"inline", "adaptive"} {
			if b := s.breaker(t, upstream); b.Counts.Failures == 0 {
				return fmt.Errorf("%s is %+v", upstream, b)
			}
		}
		return nil
	})
}

// TestAnEntryInTheNameOfAnotherProxyIsRefused shows that an entry in the name of another proxy does not move that proxy's
// clock: its own reports still count after an entry that is an hour ahead.
func TestAnEntryInTheNameOfAnotherProxyIsRefused(t *testing.T) {
	s := guarded(t)
	friend := s.dial(t, s.authority.client(t, "shop", shop))
	_, err := configure(t, friend, proxy("shop-0", "shop", "adaptive"))
	must(t, err)
	stranger := s.dial(t, s.authority.client(t, "thief", thief))
	denied(t, "an entry in another proxy's name", report(t, stranger, proxy("shop-0", "shop"), 1, time.Now().Add(time.Hour)), "shop-0", thief)
	must(t, report(t, friend, proxy("shop-0", "shop"), 20, time.Now()))
	eventually(t, "the proxy's own reports count", func() error {
		if b := s.breaker(t, "adaptive"); b.State == "closed" {
			return fmt.Errorf("%+v", b)
		}
		return nil
	})
}

// TestProbesAreNotStarved shows that streams of another workload, which stay open, take no probes from the callers of an
// upstream, and that streams of a caller take them only for a while.
func TestProbesAreNotStarved(t *testing.T) {
	s := guarded(t)
	friend := s.dial(t, s.authority.client(t, "shop", shop))
	_, err := configure(t, friend, proxy("shop-0", "shop", "inline"))
	must(t, err)
	trip := func() {
		eventually(t, "the breaker opens", func() error {
			must(t, fail(t, friend, "inline", ""))
			if b := s.breaker(t, "inline"); b.State == "closed" {
				return fmt.Errorf("%+v", b)
			}
			return nil
		})
	}
	probe := func() error {
		st, answer, err := ask(t, friend, "inline", "")
		must(t, err)
		if answer.GetImmediateResponse() != nil {
			return fmt.Errorf("rejected; %+v", s.breaker(t, "inline"))
		}
		return st.CloseSend()
	}
	stranger := s.dial(t, s.authority.client(t, "thief", thief))
	for name, prepare := range map[string]func(){
		"from a stranger": func() {},
		"from a caller": func() {
			_, err := configure(t, stranger, proxy("thief-0", "thief", "inline"))
			must(t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			prepare()
			trip()
			stay, stop := context.WithCancel(t.Context())
			defer stop()
			for range 40 {
				go keepAsking(stay, stranger)
			}
			granted := 0
			eventually(t, "others probe", func() error {
				if err := probe(); err != nil {
					return err
				}
				if granted++; granted < 20 {
					return fmt.Errorf("%d probes of others", granted)
				}
				return nil
			})
		})
	}
}

// keepAsking requests permits again and again, and keeps each one until its lease ends.
func keepAsking(ctx context.Context, c *grpc.ClientConn) {
	for ctx.Err() == nil {
		stream, err := extprocv3.NewExternalProcessorClient(c).Process(metadata.AppendToOutgoingContext(ctx, "x-breakwater-breaker", "inline"))
		if err != nil {
			return
		}
		m := &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_RequestHeaders{
			RequestHeaders: &extprocv3.HttpHeaders{EndOfStream: true},
		}}
		if stream.Send(m) != nil {
			return
		}
		for err == nil {
			_, err = stream.Recv() // a response, and then the end of the lease or of the rejected request
		}
	}
}

// TestAProxyGetsTheUpstreamsThatItLists shows that a proxy that lists upstreams gets no others. Configuration is no secret
// among proxies.
func TestAProxyGetsTheUpstreamsThatItLists(t *testing.T) {
	s := guarded(t)
	c := s.dial(t, s.authority.client(t, "thief", thief))
	answer, err := configure(t, c, proxy("thief-0", "thief", "own"))
	if err != nil || len(answer.GetResources()) != 1 || answer.GetResources()[0].GetName() != "own" {
		t.Errorf("the proxy got %d clusters, %v; want the one that it lists", len(answer.GetResources()), err)
	}
}
