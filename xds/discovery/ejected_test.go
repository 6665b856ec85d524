package discovery

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"

	"breakwater.dev/xds"
)

func eject(t fatal, s *Server, upstream string, endpoints ...string) {
	t.Helper()
	var out []netip.AddrPort
	for _, e := range endpoints {
		out = append(out, netip.MustParseAddrPort(e))
	}
	if err := s.Eject(upstream, out); err != nil {
		t.Fatalf("ejecting: %v", err)
	}
}

// unhealthy returns what a node gets: the upstreams that have an ejected endpoint.
func unhealthy(t *testing.T, s *Server, n Node) []string {
	t.Helper()
	n.Listen = xds.DefaultListen
	rs, err := resourcesOf(s.publisher.Current(), n)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range rs[xds.EndpointType] {
		for _, locality := range r.Message.(*endpointv3.ClusterLoadAssignment).Endpoints {
			for _, e := range locality.LbEndpoints {
				if e.HealthStatus != 0 {
					names = append(names, r.Name+" "+e.HealthStatus.String())
				}
			}
		}
	}
	return names
}

const endpointOfAll = "10.0.0.7:80"

func TestEjectSendsOneUpstreamsEndpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		publish(t, s, a, b)
		d, w := connectDelta(t, s, nodeOf("delta", nil)), connectSotw(t, s, nodeOf("sotw", nil))
		d.start("a", "b")
		w.start("a", "b")
		eject(t, s, "a", endpointOfAll)
		m := d.gets1("endpoints +a")
		d.ack(m)
		w.ack(w.gets1("endpoints =a =b"))
		la := &endpointv3.ClusterLoadAssignment{}
		if err := m.Resources[0].Resource.UnmarshalTo(la); err != nil {
			t.Fatal(err)
		}
		if got := la.Endpoints[0].LbEndpoints[0].HealthStatus.String(); got != "UNHEALTHY" {
			t.Errorf("the endpoint is %s", got)
		}
		eject(t, s, "a", endpointOfAll, "10.9.9.9:1") // the upstream does not have the second one
		d.gets()
		w.gets()
		eject(t, s, "a")
		d.ack(d.gets1("endpoints +a"))
		w.ack(w.gets1("endpoints =a =b"))
		eject(t, s, "a")
		eject(t, s, "nobody", endpointOfAll)
		eject(t, s, "", endpointOfAll)
		d.gets()
		w.gets()
	})
}

// A cluster that changes is sent with its endpoints as they are then.
func TestEjectedEndpointsFollowTheirCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		publish(t, s, a, b)
		p := connectDelta(t, s, nodeOf("app-1", nil))
		p.start("a", "b")
		eject(t, s, "a", endpointOfAll)
		same(t, p.settle(), []string{"endpoints +a"})
		publish(t, s, a2, b)
		same(t, p.settle(), []string{"clusters +a", "endpoints +a"})
		same(t, unhealthy(t, s, Node{}), []string{"a UNHEALTHY"})
	})
}

func TestEjectionsHoldOverPublications(t *testing.T) {
	s := newServer()
	eject(t, s, "a", endpointOfAll) // before the first
	publish(t, s, a, b)
	same(t, unhealthy(t, s, Node{}), []string{"a UNHEALTHY"})
	same(t, unhealthy(t, s, Node{Upstreams: []string{"a"}}), []string{"a UNHEALTHY"}) // translated later
	same(t, unhealthy(t, s, Node{Upstreams: []string{"b"}}), nil)
	eject(t, s, "b", endpointOfAll)
	for _, n := range []Node{{}, {Upstreams: []string{"a"}}, {Upstreams: []string{"b"}}} {
		got := unhealthy(t, s, n)
		if n.Upstreams == nil {
			same(t, got, []string{"a UNHEALTHY", "b UNHEALTHY"})
		} else {
			same(t, got, []string{n.Upstreams[0] + " UNHEALTHY"})
		}
	}
	publish(t, s, ae) // its endpoint is another one now, and b is gone
	same(t, unhealthy(t, s, Node{}), nil)
	publish(t, s, a, b)
	same(t, unhealthy(t, s, Node{}), []string{"a UNHEALTHY", "b UNHEALTHY"})
	eject(t, s, "a")
	eject(t, s, "b")
	same(t, unhealthy(t, s, Node{}), nil)
}

// All other resources are shared with the publication before.
func TestEjectTouchesOneResource(t *testing.T) {
	s := newServer()
	publish(t, s, a, b)
	listen := Node{Listen: xds.DefaultListen}
	before, err1 := resourcesOf(s.publisher.Current(), listen)
	eject(t, s, "b", endpointOfAll)
	after, err2 := resourcesOf(s.publisher.Current(), listen)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	for _, typeURL := range xds.Types {
		if typeURL != xds.EndpointType && !slices.Equal(before[typeURL], after[typeURL]) {
			t.Errorf("the resources of %s are others", shortType(typeURL))
		}
	}
	old, now := before[xds.EndpointType], after[xds.EndpointType]
	if old[0] != now[0] || old[1] == now[1] || old[1].Version == now[1].Version {
		t.Error("not the endpoints of b alone are others")
	}
}
