package discovery

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"breakwater.dev/endpoints"
	"breakwater.dev/policy"
	"breakwater.dev/wire"
	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery/internal/message"
	"breakwater.dev/xds/discovery/internal/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// up is an upstream, with what changes its cluster, its endpoint and its routes.
type up struct {
	name     string
	balancer string
	port     int
	host     string
	ca       string // the file that it is trusted by; empty: it speaks plain text
	callers  string // as in YAML, without brackets; empty: every workload
}

// fatal has the methods of a test that the helpers need: *testing.T, *testing.F and *rapid.T have them.
type fatal interface {
	Helper()
	Fatalf(format string, args ...any)
}

func setOf(t fatal, ups ...up) *policy.Set {
	t.Helper()
	var b strings.Builder
	for _, u := range ups {
		fmt.Fprintf(&b, "---\napiVersion: breakwater.dev/v1alpha1\nkind: Upstream\nmetadata: {name: %s}\nspec:\n"+
			"  hosts: [%s%s]\n  protocol: HTTP1\n  loadBalancing: {policy: %s}\n  endpoints: [{address: 10.0.0.7, port: %d}]\n",
			u.name, u.name, u.host, or(u.balancer, "LeastRequest"), or(u.port, 80))
		if u.callers != "" {
			fmt.Fprintf(&b, "  callers: [%s]\n", u.callers)
		}
		if u.ca != "" {
			fmt.Fprintf(&b, "  tls: {sni: %s.example, caFile: %s}\n", u.name, u.ca)
		}
	}
	if len(ups) == 0 {
		return &policy.Set{}
	}
	set, diagnostics := policy.Parse([]policy.File{{Name: "p.yaml", Data: []byte(b.String())}}, policy.BuiltinDefaults())
	for _, d := range diagnostics {
		t.Fatalf("the policy of a test: %s", d)
	}
	return set
}

func or[T comparable](v, otherwise T) T {
	if v == *new(T) {
		return otherwise
	}
	return v
}

// testTTL has gates that reject a share of the calls stand for 15 s.
const testTTL = briefly * defaultTTL

func newServer() *Server {
	return NewServer(Options{Log: slog.New(slog.DiscardHandler), Now: time.Now, TTL: testTTL})
}

func publish(t fatal, s *Server, ups ...up) {
	t.Helper()
	publishSet(t, s, setOf(t, ups...))
}

func publishSet(t fatal, s *Server, set *policy.Set) {
	t.Helper()
	s.Publish(prepare(t, s, set))
}

// prepare prepares a set with its own endpoints.
func prepare(t fatal, s *Server, set *policy.Set) *Publication {
	t.Helper()
	p, err := s.Prepare(set, endpoints.FromSet(set))
	if err != nil {
		t.Fatalf("preparing: %v", err)
	}
	return p
}

func nodeOf(id string, metadata map[string]any) *corev3.Node {
	fields, err := structpb.NewStruct(metadata)
	if err != nil {
		panic(err) // the test's own literal
	}
	return &corev3.Node{Id: id, Cluster: "shop", Metadata: fields}
}

func only(names ...any) *corev3.Node {
	return nodeOf("app-1", map[string]any{wire.MetadataUpstreams: names})
}

// pipe is the proxy's end of a stream of requests Q and responses R. The server's
// end is its Recv and Send.
type pipe[Q, R any] struct {
	ctx    context.Context
	cancel context.CancelFunc
	in     chan *Q
	out    chan *R
	ended  chan error
}

func (w *pipe[Q, R]) Recv() (*Q, error) {
	select {
	case m, ok := <-w.in:
		if !ok {
			return nil, io.EOF
		}
		return m, nil
	case <-w.ctx.Done():
		return nil, w.ctx.Err()
	}
}

func (w *pipe[Q, R]) RecvMsg(request any) error {
	m, err := w.Recv()
	if err != nil {
		return err
	}
	b, err := proto.Marshal(any(m).(proto.Message))
	if err != nil {
		return err
	}
	return Codec(encoding.GetCodecV2("proto")).Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, request)
}

func (w *pipe[Q, R]) SendMsg(frame any) error {
	m := new(R)
	if err := proto.Unmarshal(frame.(message.Frame).Buffers().Materialize(), any(m).(proto.Message)); err != nil {
		return err
	}
	select {
	case w.out <- m:
		return nil
	case <-w.ctx.Done():
		return w.ctx.Err()
	}
}

// run serves the wire, as gRPC would.
func (w *pipe[Q, R]) run(s *Server, p protocol.Stream) {
	err := s.serve(w.ctx, p)
	w.ended <- err
	w.cancel()
}

func newPipe[Q, R any](ctx context.Context, room int) *pipe[Q, R] {
	ctx, cancel := context.WithCancel(ctx)
	return &pipe[Q, R]{ctx: ctx, cancel: cancel, in: make(chan *Q), out: make(chan *R, room), ended: make(chan error, 1)}
}

type (
	deltaPipe = pipe[discoveryv3.DeltaDiscoveryRequest, discoveryv3.DeltaDiscoveryResponse]
	sotwPipe  = pipe[discoveryv3.DiscoveryRequest, discoveryv3.DiscoveryResponse]
)

// room is more responses than a test leaves unread.
const room = 1000

// deltaProxy is a proxy whose requests are all made by the test. It lives in a synctest bubble: a response that it does not
// get was not sent.
type deltaProxy struct {
	*deltaPipe
	t     *testing.T
	node  *corev3.Node
	hosts map[string]*routev3.VirtualHost // taken, by name
}

func connectDelta(t *testing.T, s *Server, n *corev3.Node) *deltaProxy {
	w := newPipe[discoveryv3.DeltaDiscoveryRequest, discoveryv3.DeltaDiscoveryResponse](t.Context(), room)
	go w.run(s, protocol.NewDelta(w))
	t.Cleanup(w.cancel)
	return &deltaProxy{deltaPipe: w, t: t, node: n, hosts: map[string]*routev3.VirtualHost{}}
}

// say sends a request; the first one has the node.
func (p *deltaProxy) say(m *discoveryv3.DeltaDiscoveryRequest) {
	p.t.Helper()
	m.Node, p.node = p.node, nil
	select {
	case p.in <- m:
	case err := <-p.ended:
		p.t.Fatalf("the stream has ended: %v", err)
	}
	synctest.Wait()
}

func (p *deltaProxy) subscribe(typeURL string, names ...string) {
	p.t.Helper()
	p.say(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeURL, ResourceNamesSubscribe: names})
}

func (p *deltaProxy) ack(m *discoveryv3.DeltaDiscoveryResponse) {
	p.t.Helper()
	if m.TypeUrl == xds.VirtualHostType {
		p.hosts = p.hostsWith(m)
	}
	p.say(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: m.TypeUrl, ResponseNonce: m.Nonce})
}

// hostsWith returns the virtual hosts that the proxy has when it has taken a response with some.
func (p *deltaProxy) hostsWith(m *discoveryv3.DeltaDiscoveryResponse) map[string]*routev3.VirtualHost {
	p.t.Helper()
	hosts := maps.Clone(p.hosts)
	for _, r := range m.Resources {
		hosts[r.Name] = &routev3.VirtualHost{}
		if err := r.Resource.UnmarshalTo(hosts[r.Name]); err != nil {
			p.t.Fatal(err)
		}
	}
	for _, name := range m.RemovedResources {
		delete(hosts, name)
	}
	return hosts
}

func (p *deltaProxy) nack(m *discoveryv3.DeltaDiscoveryResponse) {
	p.t.Helper()
	p.say(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: m.TypeUrl, ResponseNonce: m.Nonce, ErrorDetail: refusalOf("no CA file")})
}

func refusalOf(message string) *rpcstatus.Status {
	return &rpcstatus.Status{Code: 13, Message: message}
}

// gets demands exactly these responses, written as deltaText does, and returns them.
func (p *deltaProxy) gets(want ...string) []*discoveryv3.DeltaDiscoveryResponse {
	p.t.Helper()
	synctest.Wait()
	responses := drained(p.out)
	if diff := cmp.Diff(want, texts(responses, deltaText)); diff != "" {
		p.t.Fatalf("responses (-want +got)\n%s", diff)
	}
	return responses
}

// gets1 is gets for one response.
func (p *deltaProxy) gets1(want string) *discoveryv3.DeltaDiscoveryResponse {
	p.t.Helper()
	return p.gets(want)[0]
}

// start subscribes as Envoy does, and takes all it is sent.
func (p *deltaProxy) start(upstreams ...string) {
	p.t.Helper()
	p.subscribe(xds.ClusterType)
	p.subscribe(xds.EndpointType, upstreams...)
	p.subscribe(xds.ListenerType)
	p.subscribe(xds.RouteType, wire.RoutesName)
	p.subscribe(xds.VirtualHostType, wire.RoutesName)
	p.settle()
}

// settle takes responses until no more come, and returns them.
func (p *deltaProxy) settle() []string {
	p.t.Helper()
	return settle(p.deltaPipe, deltaText, p.ack)
}

// settle acknowledges responses until no more come, also none that waits for calls.
func settle[Q, R any](w *pipe[Q, R], text func(*R) string, ack func(*R)) []string {
	var got []string
	for waited := false; ; {
		synctest.Wait()
		batch := drained(w.out)
		switch {
		case len(batch) == 0 && waited:
			return got
		case len(batch) == 0:
			wait(xds.RouteToHost)
		}
		waited = len(batch) == 0
		got = append(got, texts(batch, text)...)
		for _, m := range batch {
			ack(m)
		}
	}
}

func drained[R any](out chan *R) []*R {
	var all []*R
	for len(out) > 0 {
		all = append(all, <-out)
	}
	return all
}

func texts[R any](ms []*R, text func(*R) string) []string {
	var all []string
	for _, m := range ms {
		all = append(all, text(m))
	}
	return all
}

// shortType names types as the tests write them.
func shortType(typeURL string) string {
	i := slices.Index(xds.Types, typeURL)
	return []string{"clusters", "endpoints", "secrets", "listeners", "routes", "hosts", "runtime"}[i]
}

// deltaText writes a response as "clusters +added -removed".
func deltaText(m *discoveryv3.DeltaDiscoveryResponse) string {
	words := []string{shortType(m.TypeUrl)}
	for _, r := range m.Resources {
		words = append(words, "+"+strings.TrimPrefix(r.Name, wire.VirtualHost("")))
	}
	for _, name := range m.RemovedResources {
		words = append(words, "-"+strings.TrimPrefix(name, wire.VirtualHost("")))
	}
	return strings.Join(words, " ")
}

// sotwText writes a response as "clusters =all =of =them", sorted.
func sotwText(m *discoveryv3.DiscoveryResponse) string {
	var names []string
	for _, body := range m.Resources {
		names = append(names, " ="+nameOf(body))
	}
	slices.Sort(names)
	return shortType(m.TypeUrl) + strings.Join(names, "")
}

// nameOf reads a resource's name where a SotW proxy has to: inside.
func nameOf(body *anypb.Any) string {
	m, err := body.UnmarshalNew()
	if err != nil {
		return err.Error()
	}
	switch m := m.(type) {
	case *endpointv3.ClusterLoadAssignment:
		return m.GetClusterName()
	case interface{ GetName() string }:
		return m.GetName()
	}
	return fmt.Sprintf("a %T", m)
}
