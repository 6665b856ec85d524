package discovery

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"

	"breakwater.dev/endpoints"
	"breakwater.dev/policy"
	"breakwater.dev/xds"
)

const endpointOfAll = "10.0.0.7:80"

// endpointAt returns the endpoint that upstreams of tests have, with a port.
func endpointAt(port uint16) policy.Endpoint {
	return policy.Endpoint{Address: netip.MustParseAddr("10.0.0.7"), Port: port, Weight: 1}
}

func publishEndpoints(t fatal, s *Server, upstream string, all ...policy.Endpoint) {
	t.Helper()
	if err := s.PublishEndpoints(upstream, all); err != nil {
		t.Fatalf("publishing endpoints: %v", err)
	}
}

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

// endpointsOf returns the endpoints that a node gets, by upstream; the ejected ones begin with "!".
func endpointsOf(t *testing.T, s *Server, n Node) map[string][]string {
	t.Helper()
	n.Listen = xds.DefaultListen
	rs, err := resourcesOf(s.publisher.Current(), n)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for _, r := range rs[xds.EndpointType].All() {
		all[r.Name] = endpointsIn(r.Message())
	}
	return all
}

func endpointsIn(m proto.Message) []string {
	var all []string
	for _, locality := range m.(*endpointv3.ClusterLoadAssignment).Endpoints {
		for _, e := range locality.LbEndpoints {
			mark := map[string]string{"UNKNOWN": "", "UNHEALTHY": "!"}[e.HealthStatus.String()]
			socket := e.GetEndpoint().GetAddress().GetSocketAddress()
			all = append(all, mark+netip.AddrPortFrom(netip.MustParseAddr(socket.GetAddress()), uint16(socket.GetPortValue())).String())
		}
	}
	return all
}

// unhealthy returns the upstreams of which a node gets an ejected endpoint.
func unhealthy(t *testing.T, s *Server, n Node) []string {
	t.Helper()
	var names []string
	for name, all := range endpointsOf(t, s, n) {
		if slices.ContainsFunc(all, func(e string) bool { return e[0] == '!' }) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

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
		same(t, endpointsIn(la), []string{"!" + endpointOfAll})
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

func TestPublishEndpointsSendsOneUpstreamsEndpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		publish(t, s, a, b)
		d, w := connectDelta(t, s, nodeOf("delta", nil)), connectSotw(t, s, nodeOf("sotw", nil))
		d.start("a", "b")
		w.start("a", "b")
		for _, all := range [][]policy.Endpoint{{endpointAt(81), endpointAt(80)}, {}, {endpointAt(80)}} {
			publishEndpoints(t, s, "a", all...)
			d.ack(d.gets1("endpoints +a"))
			w.ack(w.gets1("endpoints =a =b"))
		}
		publishEndpoints(t, s, "a", endpointAt(80)) // the upstream has this one already
		publishEndpoints(t, s, "nobody", endpointAt(80))
		d.gets()
		w.gets()
	})
}

// inViews returns the resources of all proxies that are connected, each once, with its type and name.
func inViews(s *Server) map[*xds.Resource]string {
	all := map[*xds.Resource]string{}
	for _, st := range s.streams.all() {
		for url, list := range s.publisher.Current().Made(st.view).Resources {
			for _, r := range list.All() {
				all[r] = shortType(url) + " " + r.Name
			}
		}
	}
	return all
}

// TestEndpointsCostOneResource: new endpoints of an upstream, or new ejections, make one resource, which all proxies share
// that get it. No other resource is made again, and the policy is not translated again. Other proxies are not woken.
func TestEndpointsCostOneResource(t *testing.T) {
	for name, change := range map[string]func(*testing.T, *Server){
		"endpoints": func(t *testing.T, s *Server) { publishEndpoints(t, s, "a", endpointAt(81)) },
		"ejections": func(t *testing.T, s *Server) { eject(t, s, "a", endpointOfAll) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer()
				publish(t, s, a, b, up{name: "c"})
				proxies := map[string]*deltaProxy{
					"all": connectDelta(t, s, nodeOf("all", nil)), "one": connectDelta(t, s, only("a")), "other": connectDelta(t, s, only("b", "c")),
				}
				proxies["all"].start("a", "b", "c")
				proxies["one"].start("a")
				proxies["other"].start("b", "c")
				synctest.Wait()
				policy, translated, pushed, before := s.publisher.Current(), translations(s), s.Counts(), inViews(s)
				change(t, s)
				for name, p := range proxies {
					if name != "other" {
						p.ack(p.gets1("endpoints +a"))
					}
					p.gets()
				}
				var made []string
				after := inViews(s)
				for r, name := range after {
					if before[r] == "" {
						made = append(made, name)
					}
				}
				if same(t, made, []string{"endpoints a"}); len(after) != len(before) {
					t.Errorf("proxies have %d resources, and had %d", len(after), len(before))
				}
				if s.publisher.Current() != policy || translations(s) != translated {
					t.Error("the policy was translated again")
				}
				for typeURL, c := range s.Counts() {
					want := pushed[typeURL].Pushes
					if typeURL == xds.EndpointType {
						want += 2
					}
					if c.Pushes != want {
						t.Errorf("%d responses of type %s, want %d", c.Pushes, shortType(typeURL), want)
					}
				}
			})
		})
	}
}

// TestEndpointsWakeTheirProxies, and no others.
func TestEndpointsWakeTheirProxies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		publishSet(t, s, fallingBack(t, "b", up{name: "c"})) // b takes over from a
		for _, n := range []struct {
			lists []any
			want  bool
		}{{nil, true}, {[]any{"c", "b"}, true}, {[]any{"a"}, true}, {[]any{"c"}, false}, {[]any{}, false}, {[]any{"unheard-of"}, false}} {
			p := connectDelta(t, s, memberOf("shop", n.lists...))
			p.subscribe(xds.ClusterType)
			synctest.Wait()
			if got := s.streams.all()[0].gets("b"); got != n.want {
				t.Errorf("a proxy that lists %q is woken for endpoints of b: %t, want %t", n.lists, got, n.want)
			}
			p.cancel()
			synctest.Wait()
		}
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
		same(t, unhealthy(t, s, Node{}), []string{"a"})
	})
}

func TestEjectionsHoldOverPublications(t *testing.T) {
	s := newServer()
	eject(t, s, "a", endpointOfAll) // before the first
	publish(t, s, a, b)
	same(t, unhealthy(t, s, Node{}), []string{"a"})
	same(t, unhealthy(t, s, Node{Upstreams: []string{"a"}}), []string{"a"}) // translated later
	same(t, unhealthy(t, s, Node{Upstreams: []string{"b"}}), nil)
	eject(t, s, "b", endpointOfAll)
	for _, n := range []Node{{}, {Upstreams: []string{"a"}}, {Upstreams: []string{"b"}}} {
		got := unhealthy(t, s, n)
		if n.Upstreams == nil {
			same(t, got, []string{"a", "b"})
		} else {
			same(t, got, n.Upstreams)
		}
	}
	publish(t, s, ae) // its endpoint is another one now, and b is gone
	same(t, unhealthy(t, s, Node{}), nil)
	publish(t, s, a, b)
	same(t, unhealthy(t, s, Node{}), []string{"a", "b"})
	eject(t, s, "a")
	eject(t, s, "b")
	same(t, unhealthy(t, s, Node{}), nil)
}

// TestPublishReplacesEndpoints, and keeps ejections: the ones that are in force, and not the ones that the table had when the
// policy was prepared.
func TestPublishReplacesEndpoints(t *testing.T) {
	s := newServer()
	set := setOf(t, a, b)
	stale := endpoints.FromSet(set).Eject("b", []netip.AddrPort{netip.MustParseAddrPort(endpointOfAll)})
	p, err := s.Prepare(set, stale)
	if err != nil {
		t.Fatal(err)
	}
	eject(t, s, "a", endpointOfAll, "10.0.0.7:81")
	s.Publish(p)
	same(t, unhealthy(t, s, Node{}), []string{"a"})
	publishEndpoints(t, s, "a", endpointAt(81), endpointAt(82))
	same(t, endpointsOf(t, s, Node{})["a"], []string{"!10.0.0.7:81", "10.0.0.7:82"})
	publish(t, s, a, b)
	same(t, endpointsOf(t, s, Node{})["a"], []string{"!" + endpointOfAll})
}

// TestEndpointsThatCannotBeTranslated change nothing.
func TestEndpointsThatCannotBeTranslated(t *testing.T) {
	s := newServer()
	publish(t, s, a)
	bad := endpointAt(81)
	bad.Weight = 0
	if err := s.PublishEndpoints("a", []policy.Endpoint{bad}); err == nil {
		t.Error("an endpoint of weight 0 is no error")
	}
	set := setOf(t, a)
	if _, err := s.Prepare(set, endpoints.FromSet(set).With("a", []policy.Endpoint{bad})); err == nil {
		t.Error("a table with an endpoint of weight 0 is no error")
	}
	eject(t, s, "a", "10.0.0.7:81")
	same(t, endpointsOf(t, s, Node{})["a"], []string{endpointOfAll})
}

// TestDepartingUpstreamsKeepTheirEndpoints: an upstream that calls may still go to has the endpoints that it had last, and
// not the ones in a policy before. They may still change.
func TestDepartingUpstreamsKeepTheirEndpoints(t *testing.T) {
	for name, n := range map[string]Node{"all": {}, "some": {Upstreams: []string{"a"}}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer()
				defer s.Close()
				publishSet(t, s, fallingBack(t, "b"))
				publishEndpoints(t, s, "b", endpointAt(81), endpointAt(82))
				publishSet(t, s, fallingBack(t, "c"))
				same(t, endpointsOf(t, s, n)["b"], []string{"10.0.0.7:81", "10.0.0.7:82"})
				eject(t, s, "b", "10.0.0.7:82")
				publishSet(t, s, fallingBack(t, "d"))
				same(t, endpointsOf(t, s, n)["b"], []string{"10.0.0.7:81", "!10.0.0.7:82"})
				publishEndpoints(t, s, "b", endpointAt(82))
				publishEndpoints(t, s, "d", endpointAt(83)) // in the policy with departing upstreams, and in the one without
				eject(t, s, "a", endpointOfAll)
				same(t, endpointsOf(t, s, n)["b"], []string{"!10.0.0.7:82"})
				for range 2 {
					same(t, endpointsOf(t, s, n)["a"], []string{"!" + endpointOfAll})
					same(t, endpointsOf(t, s, n)["d"], []string{"10.0.0.7:83"})
					time.Sleep(2 * xds.RouteToHost)
					synctest.Wait()
				}
				same(t, endpointsOf(t, s, n)["b"], nil)
			})
		})
	}
}

// TestEndpointsAndPoliciesAtOnce: endpoints, ejections and policies change, and proxies come, look and go, at the same time.
// In the end proxies have the last of each.
func TestEndpointsAndPoliciesAtOnce(t *testing.T) {
	s := newServer()
	defer s.Close()
	sets := []*policy.Set{fallingBack(t, "b"), fallingBack(t, "c")} // b departs each time
	publishSet(t, s, sets[0])
	var running sync.WaitGroup
	often := func(f func(i int)) {
		running.Go(func() {
			for i := range 100 {
				f(i)
			}
		})
	}
	often(func(i int) {
		publishEndpoints(t, s, "a", endpointAt(uint16(80+i%2)))
		publishEndpoints(t, s, "b", endpointAt(uint16(80+i%2)))
	})
	often(func(i int) { eject(t, s, "a", "10.0.0.7:"+fmt.Sprint(80+i%2)) })
	often(func(i int) { publishSet(t, s, sets[i%2]) })
	often(func(int) { endpointsOf(t, s, Node{}) })
	often(func(int) { endpointsOf(t, s, Node{Upstreams: []string{"a"}}) })
	often(func(int) {
		p := connectDelta(t, s, nil)
		for _, m := range []*discoveryv3.DeltaDiscoveryRequest{
			{Node: only("a"), TypeUrl: xds.ClusterType}, {TypeUrl: xds.EndpointType, ResourceNamesSubscribe: []string{"a", "b"}},
		} {
			p.in <- m
		}
		p.cancel()
		<-p.ended
	})
	running.Wait()
	publish(t, s, a, b)
	same(t, endpointsOf(t, s, Node{})["a"], []string{endpointOfAll})
	publishEndpoints(t, s, "a", endpointAt(81))
	want := map[string][]string{"a": {"!10.0.0.7:81"}, "b": {endpointOfAll}, "c": {endpointOfAll}} // c departs
	if got := endpointsOf(t, s, Node{}); !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("in the end proxies have %v, want %v", got, want)
	}
}
