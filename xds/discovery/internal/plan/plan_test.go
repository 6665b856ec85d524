package plan

import (
	"slices"
	"strings"
	"testing"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery/internal/protocol"
)

// said is a gRPC stream of one request.
type said struct {
	*discoveryv3.DeltaDiscoveryRequest
}

func (s said) Recv() (*discoveryv3.DeltaDiscoveryRequest, error) { return s.DeltaDiscoveryRequest, nil }
func (s said) Send(*discoveryv3.DeltaDiscoveryResponse) error    { return nil }
func (s said) Step(_, next *xds.Resource) (*xds.Resource, error) { return next, nil }

// direct are steps without a stop on the way.
var direct = said{}

// client is a proxy that takes what it is sent when the test says so.
type client struct {
	t *testing.T
	*Proxy
	now   time.Time
	there xds.Resources
	steps Steps
	open  map[string]*protocol.Response // unanswered, by type
	again time.Duration                 // when to look again, by the last look
}

func newClient(t *testing.T) *client {
	return &client{t: t, Proxy: NewProxy(protocol.Delta), now: time.Unix(1_000_000, 0), there: xds.Resources{}, steps: direct, open: map[string]*protocol.Response{}}
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

// gets demands exactly these responses now, each as "Cluster +added -removed".
func (c *client) gets(want ...string) {
	c.t.Helper()
	responses, again, err := c.Next(c.there, c.steps, c.now)
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

func resource(typeURL, name, version string) *xds.Resource {
	return &xds.Resource{Name: name, Version: version, Body: &anypb.Any{TypeUrl: typeURL, Value: []byte(version)}, Message: &routev3.RouteConfiguration{Name: version}}
}

// has says which clusters there are, each with endpoints, and the version of the routes.
func (c *client) has(routes string, clusters ...string) {
	c.there = xds.Resources{
		xds.ListenerType: {resource(xds.ListenerType, "egress", "1")}, xds.RouteType: {resource(xds.RouteType, "egress", routes)},
	}
	for _, cluster := range clusters {
		name, version, _ := strings.Cut(cluster, "@")
		c.there[xds.ClusterType] = append(c.there[xds.ClusterType], resource(xds.ClusterType, name, version))
		c.there[xds.EndpointType] = append(c.there[xds.EndpointType], resource(xds.EndpointType, name, "1"))
	}
}

// started is a proxy that has taken a cluster a and routes to it.
func started(t *testing.T) *client {
	c := newClient(t)
	c.has("1", "a@1")
	c.subscribe(xds.ClusterType)
	c.subscribe(xds.ListenerType)
	c.subscribe(xds.RouteType, "egress")
	c.gets("Cluster +a")
	c.subscribe(xds.EndpointType, "a")
	c.gets("ClusterLoadAssignment +a") // Envoy does not take the cluster without its endpoints
	c.acks(xds.EndpointType, xds.ClusterType)
	c.gets("Listener +egress")
	c.acks(xds.ListenerType)
	c.gets("RouteConfiguration +egress")
	c.acks(xds.RouteType)
	c.gets()
	return c
}

// TestMakeBeforeBreak: a cluster that is replaced goes when the routes to it are gone, and calls by these are over.
func TestMakeBeforeBreak(t *testing.T) {
	c := started(t)
	c.has("2", "b@1")
	c.gets("Cluster +b")
	c.subscribe(xds.EndpointType, "b")
	c.gets("ClusterLoadAssignment +b")
	c.acks(xds.EndpointType, xds.ClusterType)
	c.gets("RouteConfiguration +egress")
	c.now = c.now.Add(time.Hour)
	c.gets()
	c.acks(xds.RouteType)
	c.gets()
	if c.again != xds.RouteToHost {
		t.Errorf("it is to look again after %s, want %s", c.again, xds.RouteToHost)
	}
	c.now = c.now.Add(c.again)
	c.gets("Cluster -a")
	c.acks(xds.ClusterType)
	c.gets("ClusterLoadAssignment -a")
}

// TestChangedClustersGetTheirEndpointsAgain, for which Envoy waits and does not ask.
func TestChangedClustersGetTheirEndpointsAgain(t *testing.T) {
	c := started(t)
	c.has("1", "a@2")
	c.gets("Cluster +a", "ClusterLoadAssignment +a")
}

// stopover are steps with a stop at other routes, which have the hosts of new fallbacks.
type stopover struct{ via *xds.Resource }

func (s stopover) Step(had, next *xds.Resource) (*xds.Resource, error) {
	if had == s.via {
		return had, nil // the hosts are there
	}
	return s.via, nil
}

// TestStopsOnTheWay: a proxy gets the routes of a stop first, and the next ones when all its workers know these.
func TestStopsOnTheWay(t *testing.T) {
	c := started(t)
	c.has("2", "a@1")
	c.steps = stopover{resource(xds.RouteType, "egress", "via")}
	c.now = c.now.Add(time.Hour)
	c.gets("RouteConfiguration +egress")
	if got := c.open[xds.RouteType].Resources[0].Version; got != "via" {
		t.Errorf("first it gets routes %q, want those of the stop", got)
	}
	c.acks(xds.RouteType)
	c.gets()
	if c.again != WorkersLate {
		t.Errorf("it is to look again after %s, want %s", c.again, WorkersLate)
	}
	c.now = c.now.Add(c.again)
	c.gets("RouteConfiguration +egress")
	if got := c.open[xds.RouteType].Resources[0].Version; got != "2" {
		t.Errorf("then it gets routes %q, want those that there are", got)
	}
}

// TestRetriesComeInTime, when the pause after the refusal is over.
func TestRetriesComeInTime(t *testing.T) {
	c := newClient(t)
	c.has("1", "a@1")
	c.subscribe(xds.ClusterType)
	c.gets("Cluster +a")
	if next := c.Retry(c.now); !next.IsZero() {
		t.Errorf("something is due at %s while the answer is awaited", next)
	}
	c.says(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: xds.ClusterType, ResponseNonce: c.open[xds.ClusterType].Nonce, ErrorDetail: &rpcstatus.Status{Code: 13, Message: "no"}})
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
	layer := []*xds.Resource{resource(xds.RuntimeType, "layer", "1")}
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
