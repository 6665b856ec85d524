package plan

import (
	"slices"
	"strings"
	"testing"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"breakwater.dev/wire"
	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery/internal/message"
	"breakwater.dev/xds/discovery/internal/protocol"
	"breakwater.dev/xds/internal/resource"
)

// said is a gRPC stream of one request.
type said struct {
	*discoveryv3.DeltaDiscoveryRequest
}

func (s said) RecvMsg(request any) error {
	b, err := proto.Marshal(s.DeltaDiscoveryRequest)
	if err != nil {
		return err
	}
	return request.(*message.DeltaRequest).Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)})
}

func (s said) SendMsg(any) error { return nil }

// client is a proxy that takes what it is sent when the test says so.
type client struct {
	t *testing.T
	*Proxy
	now   time.Time
	there xds.Resources
	open  map[string]*message.Response // unanswered, by type
	again time.Duration                // when to look again, by the last look
}

func newClient(t *testing.T) *client {
	return &client{t: t, Proxy: NewProxy(protocol.Delta, &xds.Pool{}), now: time.Unix(1_000_000, 0), there: xds.Resources{}, open: map[string]*message.Response{}}
}

func (c *client) says(m *discoveryv3.DeltaDiscoveryRequest) {
	c.t.Helper()
	r, err := protocol.NewDelta(said{m}).Recv()
	if err != nil {
		c.t.Fatal(err)
	}
	s, _ := c.Subscribe(r.TypeURL)
	s.Answer(r, c.now)
	c.Apply(r)
}

func (c *client) subscribe(typeURL string, names ...string) {
	c.t.Helper()
	c.says(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeURL, ResourceNamesSubscribe: names})
}

// acks takes the open responses of these types.
func (c *client) acks(types ...string) {
	c.t.Helper()
	for _, typeURL := range types {
		c.says(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeURL, ResponseNonce: c.open[typeURL].Nonce})
		delete(c.open, typeURL)
	}
}

// refuses refuses the open response of a type.
func (c *client) refuses(typeURL string) {
	c.t.Helper()
	c.says(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeURL, ResponseNonce: c.open[typeURL].Nonce, ErrorDetail: &rpcstatus.Status{Code: 13, Message: "no"}})
	delete(c.open, typeURL)
}

// gets demands exactly these responses now, each as "Cluster +added -removed".
func (c *client) gets(want ...string) {
	c.t.Helper()
	responses, again, err := c.Next(c.there, c.now)
	if err != nil {
		c.t.Fatal(err)
	}
	c.again = again
	var got []string
	for _, r := range responses {
		words := []string{r.TypeURL[strings.LastIndex(r.TypeURL, ".")+1:]}
		for _, resource := range r.Resources {
			words = append(words, "+"+resource.Name)
		}
		for _, name := range r.Removed {
			words = append(words, "-"+name)
		}
		got, c.open[r.TypeURL] = append(got, strings.Join(words, " ")), r
	}
	if !slices.Equal(got, want) {
		c.t.Fatalf("got %q, want %q", got, want)
	}
}

func list(all ...*xds.Resource) *xds.List {
	var pool *xds.Pool
	return pool.List(all)
}

func plain(typeURL, name, version string) *xds.Resource {
	return resource.New(name, version, &anypb.Any{TypeUrl: typeURL, Value: []byte(version)})
}

// virtualHost returns the routes of an upstream that has its name as its host, and calls to which another may take over.
func virtualHost(t *testing.T, upstream, version, takeover string) *xds.Resource {
	t.Helper()
	vh := &routev3.VirtualHost{Name: wire.VirtualHost(upstream), Domains: []string{upstream}}
	body, err := anypb.New(vh)
	if err != nil {
		t.Fatal(err)
	}
	r := resource.New(vh.Name, version, body)
	if r.Hosts = vh.Domains; takeover != "" {
		r.Takeovers = []string{takeover}
	}
	return r
}

// has says which upstreams there are, each with its version, as "a@1"; "a@1>b" is one to which b takes over.
func (c *client) has(upstreams ...string) {
	var clusters, endpoints, hosts []*xds.Resource
	for _, text := range upstreams {
		text, takeover, _ := strings.Cut(text, ">")
		name, version, _ := strings.Cut(text, "@")
		clusters = append(clusters, plain(xds.ClusterType, name, version[:1]))
		endpoints = append(endpoints, plain(xds.EndpointType, name, "1"))
		hosts = append(hosts, virtualHost(c.t, name, version+takeover, takeover))
	}
	c.there = xds.Resources{
		xds.ClusterType: list(clusters...), xds.EndpointType: list(endpoints...), xds.ListenerType: list(plain(xds.ListenerType, "egress", "1")),
		xds.RouteType: list(plain(xds.RouteType, "routes", "1")), xds.VirtualHostType: list(hosts...),
	}
}

// started is a proxy that has taken these upstreams and routes to them.
func started(t *testing.T, upstreams ...string) *client {
	c := newClient(t)
	c.has(upstreams...)
	var names, endpoints, hosts []string
	for _, text := range upstreams {
		name, _, _ := strings.Cut(text, "@")
		names, endpoints, hosts = append(names, name), append(endpoints, "+"+name), append(hosts, "+routes/"+name)
	}
	c.subscribe(xds.ClusterType)
	c.subscribe(xds.ListenerType)
	c.subscribe(xds.RouteType, "routes")
	c.gets("Cluster " + strings.Join(endpoints, " "))
	c.subscribe(xds.EndpointType, names...)
	c.gets("ClusterLoadAssignment " + strings.Join(endpoints, " ")) // Envoy does not take the clusters without them
	c.acks(xds.EndpointType, xds.ClusterType)
	c.gets("Listener +egress")
	c.acks(xds.ListenerType)
	c.gets("RouteConfiguration +routes")
	c.subscribe(xds.VirtualHostType, "routes")
	c.gets() // the proxy takes the configuration first
	c.acks(xds.RouteType)
	c.gets("VirtualHost " + strings.Join(hosts, " "))
	c.acks(xds.VirtualHostType)
	c.gets()
	return c
}

// TestMakeBeforeBreak: a cluster that is replaced goes when the routes to it are gone, and calls by these are over.
func TestMakeBeforeBreak(t *testing.T) {
	c := started(t, "a@1")
	c.has("b@1")
	c.gets("Cluster +b")
	c.subscribe(xds.EndpointType, "b")
	c.gets("ClusterLoadAssignment +b")
	c.acks(xds.EndpointType, xds.ClusterType)
	c.gets("VirtualHost +routes/b -routes/a")
	c.now = c.now.Add(time.Hour)
	c.gets()
	c.acks(xds.VirtualHostType)
	c.gets()
	if c.again != xds.RouteToHost {
		t.Errorf("it is to look again after %s, want %s", c.again, xds.RouteToHost)
	}
	c.now = c.now.Add(c.again)
	c.gets("Cluster -a")
	c.acks(xds.ClusterType)
	c.gets("ClusterLoadAssignment -a")
}

// TestARefusedVirtualHostKeepsItsCluster, and no other: the proxy goes on with the virtual host that it had.
func TestARefusedVirtualHostKeepsItsCluster(t *testing.T) {
	c := started(t, "a@1", "b@1", "c@1")
	c.has("a@1x", "b@1", "c@1")
	c.gets("VirtualHost +routes/a")
	c.refuses(xds.VirtualHostType)
	c.has("a@1x")
	c.gets("VirtualHost -routes/b -routes/c")
	c.acks(xds.VirtualHostType)
	c.gets()
	c.now = c.now.Add(xds.RouteToHost)
	c.gets("Cluster -b -c")
	c.acks(xds.ClusterType)
	c.gets("ClusterLoadAssignment -b -c")
	c.acks(xds.EndpointType)
	c.has("d@1")
	c.gets("Cluster +d")
	c.subscribe(xds.EndpointType, "d")
	c.gets("ClusterLoadAssignment +d")
	c.acks(xds.EndpointType, xds.ClusterType)
	c.gets("VirtualHost +routes/d -routes/a")
	c.refuses(xds.VirtualHostType)
	c.gets("VirtualHost +routes/d") // they are tried one by one
	c.acks(xds.VirtualHostType)
	c.gets("VirtualHost -routes/a")
	c.refuses(xds.VirtualHostType)
	c.now = c.now.Add(xds.RouteToHost)
	if c.gets(); c.Subscription(xds.ClusterType).Sent().Find("a") == nil {
		t.Error("cluster a is gone, and the proxy has a route to it")
	}
}

// TestChangedClustersGetTheirEndpointsAgain, for which Envoy waits and does not ask.
func TestChangedClustersGetTheirEndpointsAgain(t *testing.T) {
	c := started(t, "a@1", "b@1")
	c.has("a@2", "b@1")
	c.gets("Cluster +a", "ClusterLoadAssignment +a")
}

// TestStopsOnTheWay: a proxy gets the host of a new fallback first, and the routes to it when all its workers know the host.
func TestStopsOnTheWay(t *testing.T) {
	c := started(t, "a@1")
	c.has("a@1>b", "b@1")
	c.now = c.now.Add(time.Hour)
	c.gets("Cluster +b")
	c.subscribe(xds.EndpointType, "b")
	c.gets("ClusterLoadAssignment +b")
	c.acks(xds.EndpointType, xds.ClusterType)
	c.gets("VirtualHost +routes/b")
	c.acks(xds.VirtualHostType)
	c.gets()
	if c.again != WorkersLate {
		t.Errorf("it is to look again after %s, want %s", c.again, WorkersLate)
	}
	c.now = c.now.Add(c.again)
	c.gets("VirtualHost +routes/a")
}

// TestRetriesComeInTime, when the pause after the refusal is over.
func TestRetriesComeInTime(t *testing.T) {
	c := newClient(t)
	c.has("a@1")
	c.subscribe(xds.ClusterType)
	c.gets("Cluster +a")
	if next := c.Retry(c.now); !next.IsZero() {
		t.Errorf("something is due at %s while the answer is awaited", next)
	}
	c.refuses(xds.ClusterType)
	next := c.Retry(c.now)
	if pause := next.Sub(c.now); pause < protocol.FirstRetry*3/4 || pause > protocol.FirstRetry*5/4 {
		t.Errorf("the pause is %s", pause)
	}
	c.gets()
	c.now = next
	if next := c.Retry(c.now); !next.IsZero() {
		t.Errorf("something more is due at %s", next)
	}
	c.gets("Cluster +a")
}

// TestThePauseOfTheLayerCounts, but the layer is not sent with the resources.
func TestThePauseOfTheLayerCounts(t *testing.T) {
	c := newClient(t)
	layer := list(plain(xds.RuntimeType, "layer", "1"))
	c.subscribe(xds.RuntimeType, "layer")
	r := c.Respond(xds.RuntimeType, layer, protocol.Removals{})
	c.says(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: xds.RuntimeType, ResponseNonce: r.Nonce, ErrorDetail: &rpcstatus.Status{Code: 13, Message: "no"}})
	next := c.Retry(c.now)
	if pause := next.Sub(c.now); pause < protocol.FirstRetry*3/4 || pause > protocol.FirstRetry*5/4 {
		t.Errorf("the pause is %s", pause)
	}
	if again := c.Retry(next); !again.Equal(next) {
		t.Errorf("after the pause it is due at %s, want still %s", again, next)
	}
	if r := c.Respond(xds.RuntimeType, layer, protocol.Removals{}); r != nil {
		t.Errorf("the layer is sent again by the retry of the resources")
	}
}
