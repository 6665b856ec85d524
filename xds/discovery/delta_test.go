package discovery

import (
	"testing"
	"testing/synctest"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"breakwater.dev/wire"
	"breakwater.dev/xds"
)

var (
	a  = up{name: "a"}
	a2 = up{name: "a", balancer: "Random"} // another cluster, the same endpoint and route
	ae = up{name: "a", port: 81}           // another endpoint
	ah = up{name: "a", host: ".shop.svc"}  // another route
	b  = up{name: "b"}
	b2 = up{name: "b", balancer: "Random"}

	secured = up{name: "a", ca: "/tls/ca.pem"}
)

func TestDeltaFirstAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		publish(t, s, a, b)
		p := connectDelta(t, s, nodeOf("app-1", nil))
		p.subscribe(xds.ClusterType)
		clusters := p.gets1("clusters +a +b")
		p.subscribe(xds.EndpointType, "b")
		endpoints := p.gets1("endpoints +b")
		p.subscribe(xds.ListenerType)
		p.subscribe(xds.RouteType, wire.RoutesName)
		p.gets() // they wait for the answer about clusters
		p.ack(clusters)
		listeners := p.gets1("listeners +egress")
		p.ack(listeners)
		p.gets() // routes wait for endpoints as well
		p.ack(endpoints)
		routes := p.gets1("routes +routes")
		p.subscribe(xds.VirtualHostType, wire.RoutesName)
		p.gets() // virtual hosts wait for their routes
		p.ack(routes)
		p.ack(p.gets1("hosts +* +a +b"))
		p.subscribe(xds.RuntimeType, wire.RuntimeLayer)
		p.ack(p.gets1("runtime +breakwater"))
		p.gets()
	})
}

func TestDeltaGreetsWithNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		publish(t, s)
		p := connectDelta(t, s, nodeOf("app-1", nil))
		p.subscribe(xds.ClusterType)
		p.ack(p.gets1("clusters"))
		p.gets() // once is enough
	})
}

func TestDeltaWaitsForTheFirstPublication(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		p := connectDelta(t, s, nodeOf("app-1", nil))
		p.subscribe(xds.ClusterType)
		p.gets()
		publish(t, s, a)
		p.gets("clusters +a")
	})
}

// versionsOf returns what a proxy says it has when it comes back.
func versionsOf(t *testing.T, typeURL string, ups ...up) map[string]string {
	t.Helper()
	rs, err := xds.Translate(setOf(t, ups...), xds.DefaultListen)
	if err != nil {
		t.Fatal(err)
	}
	versions := map[string]string{}
	for _, r := range rs[typeURL].All() {
		versions[r.Name] = r.Version
	}
	return versions
}

// back subscribes like a proxy that comes back with everything of ups.
func (p *deltaProxy) back(ups ...up) {
	p.t.Helper()
	names := map[string][]string{xds.RouteType: {wire.RoutesName}, xds.VirtualHostType: {wire.RoutesName}}
	for _, u := range ups {
		names[xds.EndpointType] = append(names[xds.EndpointType], u.name)
	}
	for _, typeURL := range []string{xds.ClusterType, xds.EndpointType, xds.ListenerType, xds.RouteType, xds.VirtualHostType} {
		p.say(&discoveryv3.DeltaDiscoveryRequest{
			TypeUrl: typeURL, ResourceNamesSubscribe: names[typeURL],
			InitialResourceVersions: versionsOf(p.t, typeURL, ups...),
		})
	}
}

func TestDeltaRestartWithoutAResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		publish(t, s, a, b)
		p := connectDelta(t, s, nodeOf("app-1", nil))
		p.back(a, b)
		p.gets()
	})
}

// A proxy comes back after b was replaced by c. It has a route to b until it took
// the new routes, so b goes after that.
func TestDeltaRestartWithTheDifference(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		publish(t, s, a, up{name: "c"})
		p := connectDelta(t, s, nodeOf("app-1", nil))
		p.back(a, b)
		p.ack(p.gets1("clusters +c"))
		p.ack(p.gets1("hosts +c -b"))
		p.gets()
		time.Sleep(xds.RouteToHost)
		p.ack(p.gets1("clusters -b"))
		p.ack(p.gets1("endpoints -b"))
		p.gets()
	})
}

// A cluster that changed while the proxy was away is sent before the proxy says
// which endpoints it has; Envoy waits for those all the same.
func TestDeltaRestartSendsEndpointsOfChangedClusters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		publish(t, s, a2, b)
		p := connectDelta(t, s, nodeOf("app-1", nil))
		p.back(a, b)
		p.gets("clusters +a", "endpoints +a")
	})
}

func TestDeltaSendsWhatChanged(t *testing.T) {
	tests := map[string]struct {
		before, after []up
		want          []string
	}{
		"nothing":       {[]up{a, b}, []up{b, a}, nil},
		"an endpoint":   {[]up{a, b}, []up{ae, b}, []string{"endpoints +a"}},
		"a route":       {[]up{a, b}, []up{ah, b}, []string{"hosts +a"}},
		"a cluster":     {[]up{a, b}, []up{a2, b}, []string{"clusters +a", "endpoints +a"}},
		"a new one":     {[]up{a}, []up{a, b}, []string{"clusters +b", "hosts +b"}},
		"one gone":      {[]up{a, b}, []up{a}, []string{"hosts -b", "clusters -b", "endpoints -b"}},
		"one for other": {[]up{a}, []up{b}, []string{"clusters +b", "hosts +b -a", "clusters -a", "endpoints -a"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer()
				publish(t, s, tt.before...)
				p := connectDelta(t, s, nodeOf("app-1", nil))
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

func TestDeltaHoldsBackAndCoalesces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		publish(t, s, a)
		p := connectDelta(t, s, nodeOf("app-1", nil))
		p.subscribe(xds.ClusterType)
		first := p.gets1("clusters +a")
		publish(t, s, a, b)
		publish(t, s, a, up{name: "c"})
		publish(t, s, a2, up{name: "c"})
		p.gets()
		p.ack(first)
		p.ack(p.gets1("clusters +a +c"))
		p.gets()
	})
}

func TestDeltaStaleAnswersChangeNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		publish(t, s, a)
		p := connectDelta(t, s, nodeOf("app-1", nil))
		p.subscribe(xds.ClusterType)
		first := p.gets1("clusters +a")
		p.ack(first)
		publish(t, s, a2)
		second := p.gets1("clusters +a")
		publish(t, s, a)
		p.ack(first)
		p.nack(first)
		p.gets() // the second is still on its way
		if n := s.Counts()[xds.ClusterType].NACKs; n != 0 {
			t.Errorf("a stale refusal was counted: %d", n)
		}
		p.ack(second)
		p.ack(p.gets1("clusters +a"))
		p.nack(second)
		p.gets()
		same(t, refusedNames(s), nil)
	})
}

// same demands two lists of words to be equal, none and empty being the same.
func same(t *testing.T, got, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}

func TestDeltaHoldsBackWhatIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		publish(t, s, a)
		p := connectDelta(t, s, nodeOf("app-1", nil))
		p.start("a")
		publish(t, s, a2)
		cluster := p.gets("clusters +a", "endpoints +a")
		p.ack(cluster[1])
		p.nack(cluster[0])
		same(t, refusedNames(s), []string{"clusters a: no CA file (code 13)"})
		if got := s.Status()[0].Types[0]; got.Resources != 0 || pending(s) || refusals(s)["clusters a"].Version != versionsOf(t, xds.ClusterType, a2)["a"] {
			t.Errorf("status of clusters: %+v", got)
		}
		publish(t, s, a2)
		p.gets() // unchanged
		publish(t, s, a2, b)
		p.ack(p.gets1("clusters +b"))
		p.ack(p.gets1("hosts +b"))
		p.gets()
		same(t, refusedNames(s), []string{"clusters a: no CA file (code 13)"})

		publish(t, s, a, b)
		same(t, p.settle(), []string{"clusters +a", "endpoints +a"})
		same(t, refusedNames(s), nil)
		if got := s.Counts()[xds.ClusterType]; got.NACKs != 1 || got.Pushes != 4 || got.PushBytes == 0 {
			t.Errorf("counts of clusters: %+v", got)
		}
	})
}

func TestDeltaForgetsARefusalWithItsResource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		publish(t, s, a)
		p := connectDelta(t, s, nodeOf("app-1", nil))
		p.start("a")
		publish(t, s, a, b)
		p.nack(p.gets1("clusters +b"))
		p.settle()
		publish(t, s, a)
		p.settle()
		same(t, refusedNames(s), nil)
	})
}

// Whether Envoy took what came with a bad resource depends on the type. So the resources of the response are sent again at
// once, apart from each other, and only the bad one counts as refused until it is corrected or gone.
func TestDeltaSendsApartWhatWasRefusedTogether(t *testing.T) {
	for name, tt := range map[string]struct {
		after []up
		want  []string
	}{
		"corrected": {[]up{a2, b}, []string{"clusters +a"}},
		"gone":      {[]up{b}, []string{"clusters -a"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer()
				publish(t, s, a, b)
				p := connectDelta(t, s, nodeOf("app-1", nil))
				p.subscribe(xds.ClusterType)
				p.nack(p.gets1("clusters +a +b"))
				same(t, refusedNames(s), nil)
				p.nack(p.gets1("clusters +a"))
				p.ack(p.gets1("clusters +b"))
				if all := refusals(s); len(all) != 1 || all["clusters a"].Name == "" {
					t.Errorf("refused: %+v", all)
				}
				publish(t, s, a, b)
				p.gets()
				publish(t, s, tt.after...)
				same(t, p.settle(), tt.want)
				same(t, refusedNames(s), nil)
			})
		})
	}
}

func TestDeltaCountsTheRefusalOfNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		publish(t, s)
		p := connectDelta(t, s, nodeOf("app-1", nil))
		p.subscribe(xds.ClusterType)
		p.nack(p.gets1("clusters"))
		p.gets()
		if n := s.Counts()[xds.ClusterType].NACKs; n != 1 {
			t.Errorf("%d refusals counted, want 1", n)
		}
	})
}

func TestDeltaNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		publish(t, s, a, b)
		p := connectDelta(t, s, nodeOf("app-1", nil))
		p.subscribe(xds.EndpointType, "a")
		p.ack(p.gets1("endpoints +a"))
		p.subscribe(xds.EndpointType, "a") // it has forgotten it
		p.ack(p.gets1("endpoints +a"))
		p.subscribe(xds.EndpointType, "later")
		p.ack(p.gets1("endpoints -later"))
		publish(t, s, a, b)
		p.gets() // it knows
		publish(t, s, a, b, up{name: "later"})
		p.ack(p.gets1("endpoints +later"))
		p.say(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: xds.EndpointType, ResourceNamesUnsubscribe: []string{"a"}})
		publish(t, s, ae, b, up{name: "later"})
		p.gets()
		p.subscribe(xds.EndpointType, "a")
		p.ack(p.gets1("endpoints +a"))
	})
}

func TestDeltaWildcardGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		publish(t, s, a, b)
		p := connectDelta(t, s, nodeOf("app-1", nil))
		p.subscribe(xds.ClusterType, "*", "a")
		p.ack(p.gets1("clusters +a +b"))
		p.say(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: xds.ClusterType, ResourceNamesUnsubscribe: []string{"*"}})
		publish(t, s, a2, b2)
		p.ack(p.gets1("clusters +a"))
		p.subscribe(xds.ClusterType, "*")
		p.ack(p.gets1("clusters +b"))
	})
}

func TestNodeGetsItsUpstreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		publish(t, s, a, b)
		p := connectDelta(t, s, only("a", "later"))
		p.subscribe(xds.ClusterType)
		p.ack(p.gets1("clusters +a"))
		p.subscribe(xds.RouteType, wire.RoutesName)
		p.ack(p.gets1("routes +routes"))
		p.subscribe(xds.VirtualHostType, wire.RoutesName)
		p.ack(p.gets1("hosts +* +a"))
		publish(t, s, a, b2)
		p.gets()
		publish(t, s, a, b2, up{name: "later"})
		same(t, p.settle(), []string{"clusters +later", "hosts +later"})
	})
}
