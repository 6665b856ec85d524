package discovery

import (
	"testing"
	"testing/synctest"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/google/go-cmp/cmp"

	"breakwater.dev/wire"
	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery/internal/protocol"
)

// sotwProxy is deltaProxy's sister.
type sotwProxy struct {
	*sotwPipe
	t     *testing.T
	node  *corev3.Node
	names map[string][]string
	took  map[string]string // version by type
}

func connectSotw(t *testing.T, s *Server, n *corev3.Node) *sotwProxy {
	w := newPipe[discoveryv3.DiscoveryRequest, discoveryv3.DiscoveryResponse](t.Context(), room)
	go w.run(s, protocol.NewSotw(w))
	t.Cleanup(w.cancel)
	return &sotwProxy{sotwPipe: w, t: t, node: n, names: map[string][]string{}, took: map[string]string{}}
}

func (p *sotwProxy) say(m *discoveryv3.DiscoveryRequest) {
	p.t.Helper()
	m.Node, p.node = p.node, nil
	m.ResourceNames, m.VersionInfo = p.names[m.TypeUrl], p.took[m.TypeUrl]
	select {
	case p.in <- m:
	case err := <-p.ended:
		p.t.Fatalf("the stream has ended: %v", err)
	}
	synctest.Wait()
}

func (p *sotwProxy) subscribe(typeURL, nonce string, names ...string) {
	p.t.Helper()
	p.names[typeURL] = names
	p.say(&discoveryv3.DiscoveryRequest{TypeUrl: typeURL, ResponseNonce: nonce})
}

func (p *sotwProxy) ack(m *discoveryv3.DiscoveryResponse) {
	p.t.Helper()
	p.took[m.TypeUrl] = m.VersionInfo
	p.say(&discoveryv3.DiscoveryRequest{TypeUrl: m.TypeUrl, ResponseNonce: m.Nonce})
}

func (p *sotwProxy) nack(m *discoveryv3.DiscoveryResponse) {
	p.t.Helper()
	p.say(&discoveryv3.DiscoveryRequest{TypeUrl: m.TypeUrl, ResponseNonce: m.Nonce, ErrorDetail: refusalOf("no CA file")})
}

func (p *sotwProxy) gets(want ...string) []*discoveryv3.DiscoveryResponse {
	p.t.Helper()
	synctest.Wait()
	responses := drained(p.out)
	if diff := cmp.Diff(want, texts(responses, sotwText)); diff != "" {
		p.t.Fatalf("responses (-want +got)\n%s", diff)
	}
	return responses
}

func (p *sotwProxy) gets1(want string) *discoveryv3.DiscoveryResponse {
	p.t.Helper()
	return p.gets(want)[0]
}

func (p *sotwProxy) start(upstreams ...string) {
	p.t.Helper()
	p.subscribe(xds.ClusterType, "")
	p.subscribe(xds.EndpointType, "", upstreams...)
	p.subscribe(xds.ListenerType, "")
	p.subscribe(xds.RouteType, "", wire.RoutesName)
	p.settle()
}

func (p *sotwProxy) settle() []string {
	p.t.Helper()
	return settle(p.sotwPipe, sotwText, p.ack)
}

func TestSotwSendsWhatChanged(t *testing.T) {
	tests := map[string]struct {
		before, after []up
		want          []string
	}{
		"nothing":     {[]up{a, b}, []up{b, a}, nil},
		"an endpoint": {[]up{a, b}, []up{ae, b}, []string{"endpoints =a =b"}},
		"a route":     {[]up{a, b}, []up{ah, b}, []string{"routes =routes"}},
		"a cluster":   {[]up{a, b}, []up{a2, b}, []string{"clusters =a =b", "endpoints =a =b"}},
		// A cluster that goes stays in the list until the proxy has routes without it.
		"one gone":      {[]up{a, b}, []up{a}, []string{"routes =routes", "clusters =a", "endpoints =a"}},
		"one for other": {[]up{a}, []up{b}, []string{"clusters =a =b", "routes =routes", "clusters =b", "endpoints"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer()
				publish(t, s, tt.before...)
				p := connectSotw(t, s, nodeOf("app-1", nil))
				var names []string
				for _, u := range tt.before {
					names = append(names, u.name)
				}
				p.start(names...)
				publish(t, s, tt.after...)
				same(t, p.settle(), tt.want)
			})
		})
	}
}

func TestSotwGreetsWithNothingAndWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		p := connectSotw(t, s, nodeOf("app-1", nil))
		p.subscribe(xds.ClusterType, "")
		p.gets()
		publish(t, s)
		first := p.gets1("clusters")
		publish(t, s, a)
		publish(t, s, b)
		p.gets()
		p.ack(first)
		p.ack(p.gets1("clusters =b"))
		p.ack(first) // stale
		p.gets()
	})
}

func TestSotwHoldsBackWhatIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		publish(t, s, a)
		p := connectSotw(t, s, nodeOf("app-1", nil))
		p.start("a")
		publish(t, s, ah)
		routes := p.gets1("routes =routes")
		p.nack(routes)
		p.nack(routes)
		p.gets() // nothing, and not the same again
		publish(t, s, ah)
		p.gets()
		same(t, refusedNames(s), []string{"routes routes: no CA file (code 13)"})
		if n := s.Counts()[xds.RouteType].NACKs; n != 1 {
			t.Errorf("%d refusals counted, want 1", n)
		}
		publish(t, s, a)
		p.ack(p.gets1("routes =routes"))
		same(t, refusedNames(s), nil)
	})
}

// A correction that was published before the refusal came is not lost.
func TestSotwCorrectionBeforeTheRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		publish(t, s, a)
		p := connectSotw(t, s, nodeOf("app-1", nil))
		p.subscribe(xds.ClusterType, "")
		bad := p.gets1("clusters =a")
		publish(t, s, a2)
		p.gets()
		p.nack(bad)
		p.ack(p.gets1("clusters =a"))
		same(t, refusedNames(s), nil)
	})
}

func TestSotwNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		publish(t, s, a, b)
		p := connectSotw(t, s, nodeOf("app-1", nil))
		p.subscribe(xds.EndpointType, "", "a")
		m := p.gets1("endpoints =a")
		p.ack(m)
		p.subscribe(xds.EndpointType, m.Nonce, "a", "b")
		m = p.gets1("endpoints =a =b")
		// Given up and asked for again before the response could be answered.
		p.subscribe(xds.EndpointType, "", "a")
		p.subscribe(xds.EndpointType, "", "a", "b")
		p.gets()
		p.ack(m)
		m = p.gets1("endpoints =a =b")
		p.ack(m)
		p.subscribe(xds.EndpointType, m.Nonce, "b")
		p.ack(p.gets1("endpoints =b"))
		p.gets()
	})
}

func TestSotwWildcardEndsWithNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		publish(t, s, a, b)
		p := connectSotw(t, s, nodeOf("app-1", nil))
		p.subscribe(xds.ClusterType, "")
		m := p.gets1("clusters =a =b")
		p.ack(m)
		p.subscribe(xds.ClusterType, m.Nonce, "b")
		m = p.gets1("clusters =b")
		p.ack(m)
		p.subscribe(xds.ClusterType, m.Nonce, "*")
		p.ack(p.gets1("clusters =a =b"))
	})
}

// A proxy that moves to another control plane with the same policy is sent
// nothing, and what changes afterwards comes in the order that it needs.
func TestSotwRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, other := newServer(), newServer()
		publish(t, one, a, b)
		publish(t, other, a, b)
		p := connectSotw(t, one, nodeOf("app-1", nil))
		p.start("a", "b")
		back := connectSotw(t, other, nodeOf("app-1", nil))
		back.took = p.took
		back.start("a", "b")
		back.gets()
		if pushes := other.Counts()[xds.ClusterType].Pushes; pushes != 0 {
			t.Errorf("%d responses about clusters, want none", pushes)
		}
		publish(t, other, a2)
		same(t, back.settle(), []string{"clusters =a =b", "endpoints =a =b", "routes =routes", "clusters =a", "endpoints =a"})
	})
}

// Like its sister for delta: the clusters are sent before the proxy says that it
// has the endpoints.
func TestSotwRestartSendsEndpointsOfChangedClusters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, other := newServer(), newServer()
		publish(t, one, a)
		publish(t, other, a2)
		p := connectSotw(t, one, nodeOf("app-1", nil))
		p.start("a")
		back := connectSotw(t, other, nodeOf("app-1", nil))
		back.took = p.took
		back.subscribe(xds.ClusterType, "")
		back.subscribe(xds.EndpointType, "", "a")
		back.gets("clusters =a", "endpoints =a")
	})
}
