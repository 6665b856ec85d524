package discovery

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"breakwater.dev/wire"
	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery/internal/plan"
	"breakwater.dev/xds/discovery/internal/protocol"
	"breakwater.dev/xds/discovery/internal/publication"
)

// led writes where routes lead: "a>b b *" where calls to a are taken over by b.
func led(t fatal, body *anypb.Any) []string {
	t.Helper()
	rc := &routev3.RouteConfiguration{}
	if err := body.UnmarshalTo(rc); err != nil {
		t.Fatalf("%v", err)
	}
	return ledBy(rc.VirtualHosts)
}

func ledBy(table []*routev3.VirtualHost) []string {
	var all []string
	for _, vh := range table {
		to := ""
		for _, r := range vh.Routes {
			if host := r.GetRoute().GetHostRewriteLiteral(); host != "" {
				to = ">" + host
			}
		}
		for _, host := range vh.Domains {
			all = append(all, host+to)
		}
	}
	return all
}

// routed demands that virtual hosts are all that the proxy gets, and where its routes lead with them.
func (p *deltaProxy) routed(want ...string) *discoveryv3.DeltaDiscoveryResponse {
	p.t.Helper()
	synctest.Wait()
	batch := drained(p.out)
	if len(batch) != 1 || batch[0].TypeUrl != xds.VirtualHostType {
		p.t.Fatalf("got %q, want virtual hosts", texts(batch, deltaText))
	}
	same(p.t, p.led(batch[0]), want)
	return batch[0]
}

// led writes where the routes of the proxy lead with some virtual hosts more.
func (p *deltaProxy) led(m *discoveryv3.DeltaDiscoveryResponse) []string {
	p.t.Helper()
	var table []*routev3.VirtualHost
	hosts := p.hostsWith(m)
	for _, name := range slices.Sorted(maps.Keys(hosts)) {
		table = append(table, hosts[name])
	}
	return ledBy(table)
}

// stepping is a proxy whose calls to "a" go to "b" if they are taken over.
func stepping(t *testing.T) (*Server, *deltaProxy) {
	t.Helper()
	s := newServer()
	publishSet(t, s, fallingBack(t, "b"))
	p := connectDelta(t, s, nodeOf("app-1", nil))
	p.start("a", "b")
	return s, p
}

// publishNew publishes that another upstream takes over, and has the proxy take all but the routes.
func (p *deltaProxy) publishNew(s *Server, to string) {
	p.t.Helper()
	publishSet(p.t, s, fallingBack(p.t, to))
	p.ack(p.gets1("clusters +" + to))
}

// TestFallbacksAreThereFirst: a call that is taken over comes in at any worker of the proxy, and all have to know its host.
func TestFallbacksAreThereFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := stepping(t)
		defer s.Close()
		p.publishNew(s, "c")
		first := p.routed("*", "a>b", "b", "c")
		time.Sleep(2 * plan.WorkersLate)
		p.gets()
		p.ack(first)
		time.Sleep(plan.WorkersLate - time.Millisecond)
		p.gets()
		time.Sleep(time.Millisecond)
		p.ack(p.routed("*", "a>c", "b", "c"))
		p.gets()
	})
}

// TestChainsOfFallbacksComeFromTheirEnd, which calls to a host of the chain may get to as soon as that is there.
func TestChainsOfFallbacksComeFromTheirEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := stepping(t)
		defer s.Close()
		set := fallingBack(t, "c", up{name: "d"})
		set.Upstreams[slices.Index(set.Upstreams, set.Upstream("c"))] = takenOverBy(set.Upstream("c"), "d")
		publishSet(t, s, set)
		p.ack(p.gets1("clusters +c +d"))
		for _, want := range [][]string{
			{"*", "a>b", "b", "d"},
			{"*", "a>b", "b", "c>d", "d"},
			{"*", "a>c", "b", "c>d", "d"},
		} {
			p.ack(p.routed(want...))
			time.Sleep(plan.WorkersLate - time.Millisecond)
			p.gets()
			time.Sleep(time.Millisecond)
		}
		p.gets()
	})
}

func TestFallbacksAreThereFirstInSotw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		defer s.Close()
		publishSet(t, s, fallingBack(t, "b"))
		p := connectSotw(t, s, nodeOf("app-1", nil))
		p.start("a", "b")
		publishSet(t, s, fallingBack(t, "c"))
		var routes [][]string
		for range 10 {
			synctest.Wait()
			for _, m := range drained(p.out) {
				if m.TypeUrl == xds.RouteType {
					routes = append(routes, led(t, m.Resources[0]))
				}
				p.ack(m)
			}
			time.Sleep(plan.WorkersLate)
		}
		if len(routes) != 2 {
			t.Fatalf("it got routes to %q, want two kinds of them", routes)
		}
		same(t, routes[0], []string{"*", "a>b", "b", "c"})
		same(t, routes[1], []string{"*", "a>c", "b", "c"})
	})
}

// TestFallbacksThatAreThereTakeOver, at once if they have been there for long, and else when every worker has them.
func TestFallbacksThatAreThereTakeOver(t *testing.T) {
	for name, since := range map[string]time.Duration{"for long": plan.WorkersLate, "not for long": plan.WorkersLate / 2} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, p := stepping(t)
				defer s.Close()
				publishSet(t, s, fallingBack(t, "b", up{name: "c"}))
				p.ack(p.gets1("clusters +c"))
				p.ack(p.routed("*", "a>b", "b", "c"))
				time.Sleep(since)
				publishSet(t, s, fallingBack(t, "c", up{name: "b"}))
				if rest := plan.WorkersLate - since; rest > 0 {
					p.gets()
					time.Sleep(rest)
				}
				p.ack(p.routed("*", "a>c", "b", "c"))
				p.gets()
			})
		})
	}
}

// TestFallbacksOfWhoComesBack: the server knows the routes of a proxy that comes back if they are the current ones.
func TestFallbacksOfWhoComesBack(t *testing.T) {
	for name, missed := range map[string]bool{"with what there is": false, "with what was there before": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer()
				defer s.Close()
				publishSet(t, s, fallingBack(t, "b"))
				had := s.publisher.Current()
				if missed {
					publishSet(t, s, fallingBack(t, "c"))
					time.Sleep(2 * xds.RouteToHost)
				}
				p := connectDelta(t, s, nodeOf("app-1", nil))
				rs, err := resourcesOf(had, Node{Listen: xds.DefaultListen})
				if err != nil {
					t.Fatal(err)
				}
				for _, typeURL := range []string{xds.ClusterType, xds.EndpointType, xds.ListenerType, xds.RouteType, xds.VirtualHostType} {
					m := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeURL, InitialResourceVersions: map[string]string{}}
					for _, r := range rs[typeURL].All() {
						m.InitialResourceVersions[r.Name] = r.Version
						switch vh := (&routev3.VirtualHost{}); typeURL {
						case xds.EndpointType, xds.RouteType:
							m.ResourceNamesSubscribe = append(m.ResourceNamesSubscribe, r.Name)
						case xds.VirtualHostType:
							m.ResourceNamesSubscribe = []string{wire.RoutesName}
							if err := r.Body().UnmarshalTo(vh); err != nil {
								t.Fatal(err)
							}
							p.hosts[r.Name] = vh
						}
					}
					p.say(m)
				}
				if missed {
					p.ack(p.gets1("clusters +c"))
					p.ack(p.routed("*", "a>c", "c"))
					return
				}
				p.gets()
				p.publishNew(s, "c")
				p.ack(p.routed("*", "a>b", "b", "c"))
				time.Sleep(plan.WorkersLate)
				p.ack(p.routed("*", "a>c", "b", "c"))
			})
		})
	}
}

// TestFallbacksAgainAndAgain: a proxy gets the routes that it has the hosts for, however soon the next ones are there.
func TestFallbacksAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := stepping(t)
		defer s.Close()
		begun, taken := map[string]bool{}, 0
		for i := range 50 {
			publishSet(t, s, fallingBack(t, fmt.Sprintf("b%d", i)))
			time.Sleep(plan.WorkersLate / 5)
			for moved := true; moved; {
				synctest.Wait()
				batch := drained(p.out)
				moved = len(batch) > 0
				for _, m := range batch {
					if m.TypeUrl == xds.VirtualHostType {
						to := p.led(m)[1]
						if !begun[to] {
							taken++
						}
						begun[to] = true
					}
					p.ack(m)
				}
			}
		}
		if taken < 8 {
			t.Errorf("of 50 fallbacks in a row the proxy has got %d, want one each %v, which is 10", taken, plan.WorkersLate)
		}
		p.settle()
		p.gets()
	})
}

// TestTheLatestIsNotKeptWaiting: routes that need no new host come at once, in place of routes that wait for one.
func TestTheLatestIsNotKeptWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := stepping(t)
		defer s.Close()
		p.publishNew(s, "c")
		p.ack(p.routed("*", "a>b", "b", "c"))
		publishSet(t, s, fallingBack(t, "b", up{name: "c"}, up{name: "d"}))
		p.ack(p.gets1("clusters +d"))
		p.ack(p.routed("*", "a>b", "b", "c", "d"))
		time.Sleep(2 * plan.WorkersLate)
		p.gets()
	})
}

// TestNothingLeavesOnTheWay: clusters in routes on the way stay, though the policy no longer has them.
func TestNothingLeavesOnTheWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := stepping(t)
		defer s.Close()
		time.Sleep(xds.RouteToHost)
		p.publishNew(s, "c")
		m := p.routed("*", "a>b", "b", "c")
		time.Sleep(2 * publication.MostLate) // b has departed
		p.gets()
		p.ack(m)
		time.Sleep(plan.WorkersLate)
		m = p.routed("*", "a>c", "c")
		time.Sleep(2 * xds.RouteToHost)
		p.gets()
		p.ack(m)
		time.Sleep(xds.RouteToHost)
		p.ack(p.gets1("clusters -b"))
	})
}

// TestRefusedSteps are tried again after pauses, as all that was refused.
func TestRefusedSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := stepping(t)
		defer s.Close()
		publishSet(t, s, fallingBack(t, "c", up{name: "b"}))
		p.ack(p.gets1("clusters +c"))
		time.Sleep(plan.WorkersLate)
		p.nack(p.routed("*", "a>b", "b", "c"))
		p.gets()
		time.Sleep(2 * protocol.FirstRetry)
		p.ack(p.routed("*", "a>b", "b", "c"))
		time.Sleep(plan.WorkersLate)
		m := p.routed("*", "a>c", "b", "c")
		began := time.Now()
		for range 3 {
			p.nack(m)
			p.gets()
			for m = nil; m == nil; {
				if time.Sleep(10 * time.Millisecond); time.Since(began) > time.Minute {
					t.Fatal("it is not tried again")
				}
				synctest.Wait()
				for _, m = range drained(p.out) {
					if m.TypeUrl != xds.VirtualHostType {
						t.Fatalf("got %s", deltaText(m))
					}
				}
			}
		}
		if pause := time.Since(began); pause < (1+2+4)*protocol.FirstRetry*3/4 {
			t.Errorf("three tries took %s", pause)
		}
		p.ack(m)
		// The routes that the proxy has are known again.
		publishSet(t, s, fallingBack(t, "d", up{name: "b"}, up{name: "c"}))
		p.ack(p.gets1("clusters +d"))
		p.nack(p.routed("*", "a>c", "b", "c", "d"))
		// The next routes do not lead to the goal before.
		publishSet(t, s, fallingBack(t, "e", up{name: "b"}, up{name: "c"}))
		p.ack(p.gets1("clusters +e"))
		p.ack(p.routed("*", "a>c", "b", "c", "e"))
		time.Sleep(plan.WorkersLate)
		p.ack(p.routed("*", "a>e", "b", "c", "e"))
		p.ack(p.routed("*", "a>e", "b", "c", "d", "e")) // apart from others, since it was refused before
		p.gets()
	})
}
