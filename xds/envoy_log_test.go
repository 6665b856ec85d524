package xds

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	runtimev3 "github.com/envoyproxy/go-control-plane/envoy/service/runtime/v3"

	alsv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"google.golang.org/grpc"

	"breakwater.dev/breaker"
	"breakwater.dev/gate"
	"breakwater.dev/policy"
	"breakwater.dev/wire"
)

// TestRejectedCallsAreNotLogged one by one, whether their callers get a 503 or, as gRPC clients do, a 200 with a status: in an
// outage the log would be as large as the traffic.
func TestRejectedCallsAreNotLogged(t *testing.T) {
	for _, protocol := range []policy.Protocol{policy.HTTP1, policy.GRPC} {
		t.Run(string(protocol), func(t *testing.T) {
			log := &reader{logged: make(chan string, 100)}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			server := grpc.NewServer()
			alsv3.RegisterAccessLogServiceServer(server, log)
			go server.Serve(l)
			t.Cleanup(server.Stop)

			b := guardedBy("web", true)
			b.DataPath, b.Spec.Config.Mode, b.Fallback.Response.Status = policy.Adaptive, breaker.Enforce, http.StatusServiceUnavailable
			set := &policy.Set{Upstreams: []*policy.Upstream{
				webUpstream("dead", refusingPort(t), policy.HTTP1, policy.Route{}),
				webUpstream("web", refusingPort(t), protocol, policy.Route{Breaker: b}),
			}}
			rs, err := Translate(set, netip.MustParseAddrPort("127.0.0.1:0"))
			if err != nil {
				t.Fatal(err)
			}
			open := gate.Gate{Key: b.Spec.Key, Open: wire.Million, Sampling: wire.Sampling{Rejected: 1 << 20}}
			layers, err := NewLayers(gate.NewSet([]gate.Gate{open}, gate.LogFilter{}))
			if err != nil {
				t.Fatal(err)
			}
			bootstrap := static(t, rs)
			bootstrap.LayeredRuntime = &bootstrapv3.LayeredRuntime{Layers: []*bootstrapv3.RuntimeLayer{{
				Name: wire.RuntimeLayer, LayerSpecifier: &bootstrapv3.RuntimeLayer_StaticLayer{StaticLayer: layers.Layer("").Message().(*runtimev3.Runtime).GetLayer()},
			}}}
			egress := startEnvoyOn(t, bootstrap, l.Addr().(*net.TCPAddr).AddrPort().Port())
			for range 50 {
				if protocol == policy.GRPC {
					if status, _ := callGRPC(t, egress, "web", ""); status != "14" {
						t.Fatalf("got status %s, want 14", status)
					}
				} else if status, _ := callEgress(t, egress, "GET web /"); status != http.StatusServiceUnavailable {
					t.Fatalf("got %d, want 503", status)
				}
			}
			callEgress(t, egress, "GET dead /") // its entry comes after the entries of all earlier calls
			select {
			case entry := <-log.logged:
				if !strings.Contains(strings.Join(strings.Fields(entry), " "), `route_name: "dead"`) { // the spaces differ from build to build
					t.Errorf("a rejected call is logged:\n%s", entry)
				}
			case <-time.After(30 * time.Second):
				t.Error("the failure of the other service is not logged")
			}
		})
	}
}
