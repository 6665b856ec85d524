package discovery

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/google/go-cmp/cmp"

	"breakwater.dev/gate"
	"breakwater.dev/internal/exposition"
	"breakwater.dev/wire"
	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery/internal/protocol"
)

// subscriptions calls use with each subscription of a server, and with the id of its proxy.
func subscriptions(s *Server, use func(id, typeURL string, sub *protocol.Subscription)) {
	for _, st := range s.streams.all() {
		st.mu.Lock()
		for _, typeURL := range xds.Types {
			if sub := st.proxy.Subscription(typeURL); sub != nil && st.node != nil {
				use(st.node.ID, typeURL, sub)
			}
		}
		st.mu.Unlock()
	}
}

// waiting returns the responses that await their answer, each as "proxy type", sorted.
func waiting(s *Server) (all []string) {
	subscriptions(s, func(id, typeURL string, sub *protocol.Subscription) {
		if sub.Pending() {
			all = append(all, id+" "+shortType(typeURL))
		}
	})
	slices.Sort(all)
	return all
}

// pending reports whether any response awaits its answer.
func pending(s *Server) bool { return len(waiting(s)) > 0 }

// refusals returns the resources that proxies have refused, by "type name".
func refusals(s *Server) map[string]protocol.Refusal {
	all := map[string]protocol.Refusal{}
	subscriptions(s, func(_, typeURL string, sub *protocol.Subscription) {
		for _, r := range sub.Refusals() {
			all[shortType(typeURL)+" "+r.Name] = r
		}
	})
	return all
}

// refusedNames returns the resources that proxies have refused, each as "type name: message", sorted.
func refusedNames(s *Server) (all []string) {
	for name, r := range refusals(s) {
		all = append(all, name+": "+r.Message)
	}
	slices.Sort(all)
	return all
}

// TestStatusOfRefusals: the status has the names that were refused, fit to show, and the last refusal's words and time.
func TestStatusOfRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		publish(t, s, a, b)
		time.Sleep(1500 * time.Microsecond)
		p := connectDelta(t, s, &corev3.Node{Id: "app-1", Cluster: "shop\n1"})
		p.subscribe(xds.ClusterType)
		p.nack(p.gets1("clusters +a +b"))
		p.nack(p.gets1("clusters +a"))
		p.nack(p.gets1("clusters +b"))
		p.gets()
		nodes := s.Status()
		if len(nodes) != 1 || nodes[0].Cluster != `shop\n1` || nodes[0].ConnectedSince.Nanosecond()%1e6 != 0 || nodes[0].ConnectedSince.Location() != time.UTC {
			t.Fatalf("status: %+v", nodes)
		}
		typ := nodes[0].Types[0]
		if typ.NACK == nil || typ.Resources != 0 || strings.Join(typ.NACK.Resources, " ") != "a b" || typ.NACK.Message != refusals(s)["clusters a"].Message || typ.NACK.At.Nanosecond()%1e6 != 0 {
			t.Errorf("status: %+v, refused %+v", typ, typ.NACK)
		}
	})
}

// TestOneNodeForTwoStreams: a proxy has a stream for its resources and one for its layer; it is one node.
func TestOneNodeForTwoStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		publish(t, s, a)
		if got := s.Status(); got == nil || len(got) > 0 {
			t.Errorf("without proxies: %#v, want a list without any", got)
		}
		connectDelta(t, s, nodeOf("app-1", nil)).start("a")
		connectDelta(t, s, nodeOf("app-0", nil)).start("a")
		time.Sleep(time.Second) // the stream of the layer is the younger one
		connectLayer(t, s, newDeltaLink())
		synctest.Wait()
		var got []string
		for _, n := range s.Status() {
			got = append(got, n.ID)
			for _, typ := range n.Types {
				got = append(got, shortType(typ.Type))
			}
		}
		same(t, got, strings.Fields("app-0 clusters endpoints listeners routes hosts app-1 clusters endpoints listeners routes hosts runtime"))
	})
}

// TestMetrics: every figure is there before a proxy has come, and follows the status.
func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		before := exposition.Samples(t, s)
		if n := strings.Count(before, "} 0\n"); n != 4*len(xds.Types) || !strings.Contains(before, "breakwater_xds_nodes 0\n") {
			t.Errorf("at the start:\n%s", before)
		}
		publish(t, s, a)
		p := connectDelta(t, s, nodeOf("app-1", nil))
		p.subscribe(xds.ClusterType)
		p.nack(p.gets1("clusters +a"))
		p.gets()
		for _, want := range []string{
			"breakwater_xds_nodes 1\n", "breakwater_xds_outdated_nodes 0\n", "breakwater_xds_duplicate_nodes 0\n",
			`breakwater_xds_nacks_total{type="Cluster"} 1` + "\n", `breakwater_xds_pushes_total{type="Cluster"} 1` + "\n", `breakwater_xds_refusing_nodes{type="Cluster"} 1` + "\n",
			fmt.Sprintf(`breakwater_xds_push_bytes_total{type="Cluster"} %d`+"\n", s.Counts()[xds.ClusterType].PushBytes),
		} {
			if got := exposition.Samples(t, s); !strings.Contains(got, want) {
				t.Errorf("%q is not in\n%s", want, got)
			}
		}
	})
}

// TestConnected: each proxy once, in order, with what it calls.
func TestConnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		defer s.Close()
		for _, n := range []*corev3.Node{nodeOf("b", map[string]any{wire.MetadataUpstreams: []any{"y", "x"}}), nodeOf("a", nil), nodeOf("b", map[string]any{wire.MetadataUpstreams: []any{"y", "x"}})} {
			connectDelta(t, s, n).subscribe(xds.ClusterType)
		}
		synctest.Wait()
		want := []gate.Node{{ID: "a", Workload: "shop"}, {ID: "b", Workload: "shop", Upstreams: []string{"x", "y"}}}
		if diff := cmp.Diff(want, s.Connected()); diff != "" {
			t.Errorf("connected (-want +got):\n%s", diff)
		}
	})
}
