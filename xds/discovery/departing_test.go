package discovery

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"breakwater.dev/policy"
	"breakwater.dev/xds"
)

// fallingBack is a policy in which an upstream takes over from "a".
func fallingBack(t *testing.T, to string, more ...up) *policy.Set {
	t.Helper()
	set := setOf(t, append(more, a, up{name: to})...)
	u := *find(set, "a")
	u.Routes = slices.Clone(u.Routes)
	u.Routes[len(u.Routes)-1].Breaker = &policy.Breaker{
		Fallback: policy.Fallback{Response: policy.Response{Status: 503}, Upstream: &policy.FallbackUpstream{Name: to, Host: to}},
	}
	set.Upstreams[slices.Index(set.Upstreams, find(set, "a"))] = &u
	return set
}

func publishSet(t *testing.T, s *Server, set *policy.Set) {
	t.Helper()
	p, err := s.Prepare(set)
	if err != nil {
		t.Fatal(err)
	}
	s.Publish(p)
}

// hosts are what the routes of a node lead to.
func hosts(t *testing.T, s *Server, n Node) []string {
	t.Helper()
	synctest.Wait()
	rs, err := resourcesOf(s.current.Load(), n)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, vh := range rs[xds.RouteType][0].Message.(*routev3.RouteConfiguration).VirtualHosts {
		all = append(all, vh.Domains...)
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
				same(t, hosts(t, s, n), []string{"a", "b", "*"})
				publishSet(t, s, fallingBack(t, "c"))
				same(t, hosts(t, s, n), []string{"a", "b", "c", "*"})
				time.Sleep(xds.RouteToHost / 2)
				publishSet(t, s, fallingBack(t, "d"))
				same(t, hosts(t, s, n), []string{"a", "b", "c", "d", "*"})
				time.Sleep(xds.RouteToHost / 2)
				same(t, hosts(t, s, n), []string{"a", "c", "d", "*"})
				time.Sleep(xds.RouteToHost / 2)
				same(t, hosts(t, s, n), []string{"a", "d", "*"})
			})
		})
	}
}

// A fallback that is given another host answers to both for a while; one that takes the
// host of another at once.
func TestFallbacksStayUnderTheirHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := newServer(), Node{Listen: xds.DefaultListen}
		defer s.Close()
		publishSet(t, s, fallingBack(t, "b"))
		other := fallingBack(t, "b")
		find(other, "b").Hosts = []string{"other"}
		publishSet(t, s, other)
		same(t, hosts(t, s, n), []string{"a", "other", "b", "*"})
		taken := fallingBack(t, "c")
		find(taken, "c").Hosts = []string{"c", "b"}
		publishSet(t, s, taken)
		same(t, hosts(t, s, n), []string{"a", "c", "b", "*"})
		time.Sleep(2 * xds.RouteToHost)
		same(t, hosts(t, s, n), []string{"a", "c", "b", "*"})
	})
}
