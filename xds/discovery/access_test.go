package discovery

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"breakwater.dev/policy"
	"breakwater.dev/wire"
	"breakwater.dev/xds"
)

// memberOf returns a proxy of a workload that lists upstreams; a proxy that lists none calls all.
func memberOf(workload string, lists ...any) *corev3.Node {
	n := nodeOf(workload+"-0", nil)
	if lists != nil {
		n = nodeOf(workload+"-0", map[string]any{wire.MetadataUpstreams: lists})
	}
	n.Cluster = workload
	return n
}

// shops is an upstream that shop and the workloads named may call.
func shops(more ...string) up {
	return up{name: "b", callers: strings.Join(append([]string{"shop"}, more...), ", ")}
}

// TestCallersComeAndGo: a proxy gets an upstream with the policy that names its workload, and loses it with
// the one that does not; nothing changes for others.
func TestCallersComeAndGo(t *testing.T) {
	for name, lists := range map[string][]any{"that list it": {"a", "b"}, "that list nothing": nil} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer()
				defer s.Close()
				publish(t, s, a, shops())
				shop, other := connectDelta(t, s, memberOf("shop", lists...)), connectDelta(t, s, memberOf("other", lists...))
				shop.subscribe(xds.ClusterType)
				shop.ack(shop.gets1("clusters +a +b"))
				shop.start("a", "b")
				other.subscribe(xds.ClusterType)
				other.ack(other.gets1("clusters +a"))
				other.start("a")
				publish(t, s, a, shops("other"))
				same(t, shop.settle(), nil)
				other.subscribe(xds.EndpointType, "b")
				same(t, other.settle(), []string{"clusters +b", "endpoints +b", "hosts +b"})
				publish(t, s, a, shops())
				same(t, shop.settle(), nil)
				same(t, other.settle(), []string{"hosts -b", "clusters -b", "endpoints -b"})
				publish(t, s, a, up{name: "b"})
				same(t, shop.settle(), nil)
				if got := other.settle(); !slices.Contains(got, "clusters +b") {
					t.Errorf("an upstream for every workload came as %q", got)
				}
			})
		})
	}
}

// TestCallersOfADependency: only a workload that may call an upstream depends on its health.
func TestCallersOfADependency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		defer s.Close()
		publish(t, s, a, shops())
		for workload, want := range map[string][]string{"shop": {"a", "b"}, "other": {"a"}} {
			connectDelta(t, s, memberOf(workload)).start()
			got, connected := s.Calls(workload)
			if !connected || !slices.Equal(got, want) {
				t.Errorf("%s calls %v, %t; want %v", workload, got, connected, want)
			}
		}
		connectDelta(t, s, memberOf("third", "b", "z")).start()
		if got, _ := s.Calls("third"); !slices.Equal(got, []string{"z"}) {
			t.Errorf("a proxy that lists b, which it may not call, and z calls %v", got)
		}
	})
}

// TestWhoMayCallMayBeTakenOver: a fallback of what a workload may call stays there for it, and nothing else does
// that it may not call, also while a fallback departs.
func TestWhoMayCallMayBeTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		defer s.Close()
		set := func(to string) *policy.Set {
			set := fallingBack(t, to, up{name: "secret", callers: "shop"})
			set.Upstream(to).Callers, set.Upstream("a").Callers = []string{"shop"}, []string{"shop", "caller"}
			return set
		}
		workload := func(name string, lists ...string) Node {
			return Node{Cluster: name, Listen: xds.DefaultListen, Upstreams: lists}
		}
		publishSet(t, s, set("b"))
		same(t, hosts(t, s, workload("caller")), []string{"*", "a", "b"})
		same(t, hosts(t, s, workload("caller", "a", "b", "secret")), []string{"*", "a", "b"})
		same(t, hosts(t, s, workload("shop")), []string{"*", "a", "b", "secret"})
		same(t, hosts(t, s, workload("thief", "b", "secret")), []string{"*"})
		publishSet(t, s, set("c"))
		same(t, hosts(t, s, workload("caller")), []string{"*", "a", "b", "c"})
		same(t, hosts(t, s, workload("thief")), []string{"*"})
		same(t, hosts(t, s, workload("thief", "b", "secret")), []string{"*"})
		time.Sleep(2 * xds.RouteToHost)
		same(t, hosts(t, s, workload("caller")), []string{"*", "a", "c"})
	})
}

// TestForbiddenUpstreamsAreTold: an upstream that a proxy lists and may not call is in the log once, and in the status
// until the proxy may call it. An upstream that takes calls over is sent to the proxy, and is not forbidden.
func TestForbiddenUpstreamsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lockedLog
		s := NewServer(Options{Log: slog.New(slog.NewTextHandler(&log, nil)), Now: time.Now})
		defer s.Close()
		wantLogged := func(want int) {
			t.Helper()
			if got := strings.Count(log.String(), "may not call"); got != want {
				t.Fatalf("in the log %d times, want %d:\n%s", got, want, log.String())
			}
		}
		publish(t, s, a)
		p := connectDelta(t, s, memberOf("other", "a", "b"))
		p.start("a")
		same(t, s.Status()[0].UnknownUpstreams, []string{"b"})
		publish(t, s, a, shops())
		p.settle()
		wantLogged(1)
		same(t, s.Status()[0].UnknownUpstreams, nil)
		same(t, s.Status()[0].ForbiddenUpstreams, []string{"b"})
		publish(t, s, a2, shops())
		p.settle()
		wantLogged(1)
		set := fallingBack(t, "b")
		set.Upstream("b").Callers = []string{"shop"}
		publishSet(t, s, set)
		p.settle()
		same(t, s.Status()[0].ForbiddenUpstreams, nil)
		publish(t, s, a, shops())
		p.settle()
		wantLogged(2)
	})
}

// TestWorkloadsLeaveNothing: nothing is kept of proxies that are gone.
func TestWorkloadsLeaveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		defer s.Close()
		publish(t, s, a, up{name: "b", callers: "shop, all"})
		var proxies []*deltaProxy
		for i := range 10 {
			workload := fmt.Sprintf("workload-%d", i)
			proxies = append(proxies, connectDelta(t, s, memberOf(workload)), connectDelta(t, s, memberOf(workload)))
		}
		for _, p := range proxies {
			p.subscribe(xds.ClusterType)
		}
		if got := translations(s); got != 10 || len(s.places.all) != 1 {
			t.Errorf("%d views and %d addresses are kept, want one view for each workload, and one address", got, len(s.places.all))
		}
		for _, p := range proxies {
			p.cancel()
		}
		synctest.Wait()
		if len(s.places.all) != 0 || translations(s) != 0 {
			t.Errorf("%d addresses and %d views are kept of proxies that are gone", len(s.places.all), translations(s))
		}
	})
}

// TestAWithdrawalDoesNotWaitForTheProxy: a proxy that reads nothing is no longer a caller when the policy is published.
func TestAWithdrawalDoesNotWaitForTheProxy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		defer s.Close()
		publish(t, s, a, shops("other"))
		stuck := connectDelta(t, s, memberOf("other"))
		stuck.out = nil // whatever is sent to it stays on its way
		stuck.subscribe(xds.ClusterType)
		st := s.streams.all()[0]
		calls := func() []string {
			st.mu.Lock()
			defer st.mu.Unlock()
			return st.admitted.Names
		}
		same(t, calls(), nil)
		p := prepare(t, s, setOf(t, a, shops()))
		s.Admit(p)
		same(t, calls(), []string{"a"})
		s.Publish(p)
		same(t, calls(), []string{"a"})
		publish(t, s, a, shops("other"))
		same(t, calls(), nil)
	})
}
