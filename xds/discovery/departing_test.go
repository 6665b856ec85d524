package discovery

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"breakwater.dev/policy"
	"breakwater.dev/wire"
	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery/internal/publication"
)

// fallingBack is a policy in which an upstream takes over from "a".
func fallingBack(t *testing.T, to string, more ...up) *policy.Set {
	t.Helper()
	set := setOf(t, append(more, a, up{name: to})...)
	set.Upstreams[slices.Index(set.Upstreams, set.Upstream("a"))] = takenOverBy(set.Upstream("a"), to)
	return set
}

// takenOverBy is an upstream whose calls another takes over.
func takenOverBy(u *policy.Upstream, to string) *policy.Upstream {
	falling := *u
	falling.Routes = slices.Clone(u.Routes)
	falling.Routes[len(u.Routes)-1].Breaker = &policy.Breaker{
		Fallback: policy.Fallback{Response: policy.Response{Status: 503}, Upstream: &policy.FallbackUpstream{Name: to, Host: to}},
	}
	return &falling
}

// hosts returns the hosts in the routes of a node.
func hosts(t *testing.T, s *Server, n Node) []string {
	t.Helper()
	synctest.Wait()
	rs, err := resourcesOf(s.publisher.Current(), n)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, r := range rs[xds.VirtualHostType].All() {
		all = append(all, r.Hosts...)
	}
	return all
}

// A call that goes to a fallback has chosen a route by which its proxy looks for a host; the
// host stays there for a while, also when that policy is replaced again.
func TestFallbacksStayWhileCallsGoThere(t *testing.T) {
	for name, n := range map[string]Node{
		"all": {Listen: xds.DefaultListen}, "some": {Listen: xds.DefaultListen, Upstreams: []string{"a"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer()
				defer s.Close()
				publishSet(t, s, fallingBack(t, "b"))
				same(t, hosts(t, s, n), []string{"*", "a", "b"})
				publishSet(t, s, fallingBack(t, "c"))
				same(t, hosts(t, s, n), []string{"*", "a", "b", "c"})
				time.Sleep(xds.RouteToHost / 2)
				publishSet(t, s, fallingBack(t, "d"))
				same(t, hosts(t, s, n), []string{"*", "a", "b", "c", "d"})
				time.Sleep(xds.RouteToHost / 2)
				same(t, hosts(t, s, n), []string{"*", "a", "c", "d"})
				time.Sleep(xds.RouteToHost / 2)
				same(t, hosts(t, s, n), []string{"*", "a", "d"})
			})
		})
	}
}

// TestFallbacksStayForWhoIsLate: a proxy goes by its old routes until it has taken clusters that new ones
// name. There is a bound, for one that never does.
func TestFallbacksStayForWhoIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := newServer(), Node{Listen: xds.DefaultListen}
		publishSet(t, s, fallingBack(t, "b"))
		p := connectDelta(t, s, nodeOf("app-1", nil))
		p.start("a", "b")
		publishSet(t, s, fallingBack(t, "c"))
		clusters := p.gets1("clusters +c")
		time.Sleep(2 * xds.RouteToHost)
		same(t, hosts(t, s, n), []string{"*", "a", "b", "c"})
		p.ack(clusters)
		p.settle()
		time.Sleep(publication.LateAgain)
		same(t, hosts(t, s, n), []string{"*", "a", "c"})
		p.settle()
		publishSet(t, s, fallingBack(t, "d"))
		p.gets("clusters +d")
		time.Sleep(publication.MostLate - publication.LateAgain)
		same(t, hosts(t, s, n), []string{"*", "a", "c", "d"})
		time.Sleep(2 * publication.LateAgain)
		same(t, hosts(t, s, n), []string{"*", "a", "d"})
	})
}

// A fallback that is given another host answers to both for a while. A fallback that takes the host of another one answers to
// it at once.
func TestFallbacksStayUnderTheirHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := newServer(), Node{Listen: xds.DefaultListen}
		defer s.Close()
		publishSet(t, s, fallingBack(t, "b"))
		other := fallingBack(t, "b")
		other.Upstream("b").Hosts = []string{"other"}
		publishSet(t, s, other)
		same(t, hosts(t, s, n), []string{"*", "a", "other", "b"})
		taken := fallingBack(t, "c")
		taken.Upstream("c").Hosts = []string{"c", "b"}
		publishSet(t, s, taken)
		same(t, hosts(t, s, n), []string{"*", "a", "c", "b"})
		time.Sleep(2 * xds.RouteToHost)
		same(t, hosts(t, s, n), []string{"*", "a", "c", "b"})
	})
}

// TestFallbacksThatStayAreReachedForAWhile: an upstream may no longer take calls over, and yet stay in the policy. It stays
// reachable for a while also for proxies that do not list it, and for proxies whose workload may not call it.
func TestFallbacksThatStayAreReachedForAWhile(t *testing.T) {
	b := up{name: "b", callers: "friend"}
	for name, n := range map[string]Node{
		"one that lists others": {Listen: xds.DefaultListen, Cluster: "friend", Upstreams: []string{"a"}},
		"one that may not call": {Listen: xds.DefaultListen, Cluster: "shop"},
		"one that does both":    {Listen: xds.DefaultListen, Cluster: "shop", Upstreams: []string{"a"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer()
				defer s.Close()
				set := func(to string, others ...up) *policy.Set {
					set := fallingBack(t, to, others...)
					set.Upstream("b").Callers = []string{"friend"}
					set.Upstream("a").Callers = []string{"friend", "shop"}
					return set
				}
				publishSet(t, s, set("b", up{name: "c"}))
				before := hosts(t, s, n)
				if !slices.Contains(before, "b") {
					t.Fatalf("its routes lead to %q, want b among them", before)
				}
				publishSet(t, s, set("c", b))
				if got := hosts(t, s, n); !slices.Contains(got, "b") {
					t.Errorf("right after its routes lead to %q, want b among them", got)
				}
				time.Sleep(xds.RouteToHost)
				if got := hosts(t, s, n); slices.Contains(got, "b") {
					t.Errorf("at last its routes lead to %q, want b no more", got)
				}
				stranger := Node{Listen: xds.DefaultListen, Cluster: "stranger"}
				if got := hosts(t, s, stranger); slices.Contains(got, "b") {
					t.Errorf("the routes of a stranger lead to %q", got)
				}
			})
		})
	}
}

// TestWhatDepartsLeavesTheNextPolicyAlone: reports count by the policy that comes next from when it is admitted,
// also when the time of something that departs is over before it is published; without one, by what is left.
func TestWhatDepartsLeavesTheNextPolicyAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		defer s.Close()
		publishSet(t, s, fallingBack(t, "b"))
		proxy := connectDelta(t, s, memberOf("other", "a"))
		proxy.start("a", "b")
		st := s.streams.all()[0]
		reports := func(want ...string) {
			t.Helper()
			synctest.Wait()
			st.mu.Lock()
			defer st.mu.Unlock()
			same(t, st.admitted.Reached, want)
		}
		publishSet(t, s, fallingBack(t, "c"))
		reports("a", "b", "c")
		proxy.settle()
		time.Sleep(xds.RouteToHost)
		reports("a", "c")
		publishSet(t, s, fallingBack(t, "d"))
		proxy.settle()
		next := fallingBack(t, "d")
		next.Upstream("a").Callers = []string{"shop"}
		p := prepare(t, s, next)
		s.Admit(p)
		reports()
		time.Sleep(xds.RouteToHost)
		reports()
		s.Publish(p)
		reports()
	})
}

// TestPreparedViewsGoWithTheirStreams, also when something departs afterwards; while they are there, they are counted.
func TestPreparedViewsGoWithTheirStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		defer s.Close()
		publishSet(t, s, fallingBack(t, "b"))
		var proxies []*deltaProxy
		for i := range 20 {
			p := connectDelta(t, s, nodeOf(fmt.Sprint("n", i), map[string]any{wire.MetadataListen: fmt.Sprint("127.0.0.1:", 10_001+i)}))
			p.subscribe(xds.ClusterType)
			proxies = append(proxies, p)
		}
		publishSet(t, s, fallingBack(t, "c"))
		synctest.Wait()
		for listen, at := range s.places.all {
			if want := int64(s.publisher.Current().Bytes(listen)) * placeFactor; at.bytes != want || want == 0 {
				t.Errorf("%d bytes are counted for the address %s, want %d", at.bytes, listen, want)
			}
		}
		addresses := slices.Collect(maps.Keys(s.places.all))
		for _, p := range proxies {
			p.cancel()
		}
		synctest.Wait()
		time.Sleep(2 * xds.RouteToHost)
		synctest.Wait()
		if got := translations(s); got > 0 || len(addresses) != 20 {
			t.Errorf("%d views are kept, want none, and %d addresses were counted, want 20", got, len(addresses))
		}
		for _, listen := range addresses {
			if n := s.publisher.Current().Bytes(listen); n > 0 {
				t.Errorf("%d bytes are remembered for an address at which no proxy listens", n)
			}
		}
	})
}
