package xds

import (
	"io"
	"math"
	"net/http"
	"net/netip"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	runtimev3 "github.com/envoyproxy/go-control-plane/envoy/service/runtime/v3"
	"github.com/google/go-cmp/cmp"

	"breakwater.dev/breaker"
	"breakwater.dev/gate"
	"breakwater.dev/policy"
	"breakwater.dev/wire"
)

// keysOf returns the keys of a layer; shares of calls are in millionths.
func keysOf(t *testing.T, r *Resource) map[string]float64 {
	t.Helper()
	keys := map[string]float64{}
	for key, v := range r.Message().(*runtimev3.Runtime).GetLayer().GetFields() {
		n := v.GetNumberValue()
		if s := v.GetStructValue(); s != nil {
			if got := s.GetFields()["denominator"].GetStringValue(); got != "MILLION" {
				t.Errorf("%s: denominator %s: shares nest only where it is the same", key, got)
			}
			n = s.GetFields()["numerator"].GetNumberValue()
		}
		keys[key] = n
	}
	return keys
}

func TestGateKeys(t *testing.T) {
	key := breaker.Key{Upstream: "web", Route: "charge"}
	ten := uint32(10)
	for name, tt := range map[string]struct {
		gate gate.Gate
		want map[string]float64
	}{
		"nothing":            {gate.Gate{}, map[string]float64{}},
		"everything":         {gate.Gate{Sampling: wire.Sampling{Passed: 1, Rejected: 1}}, map[string]float64{}},
		"open":               {gate.Gate{Open: 1e6}, map[string]float64{"counted": 1e6, "open": 1e6}},
		"open and busy":      {gate.Gate{Open: 1e6, Sampling: wire.Sampling{Passed: 8, Rejected: 8}}, map[string]float64{"counted": 125_000, "open": 1e6}},
		"probing":            {gate.Gate{Open: 990_000, Probe: true}, map[string]float64{"counted": 990_000, "open": 990_000, "probe": 1e6}},
		"ramp and sample":    {gate.Gate{Open: 300_000, Sampling: wire.Sampling{Passed: 10}}, map[string]float64{"counted": 300_000, "open": 300_000, "sampled": 370_000}},
		"sample":             {gate.Gate{Sampling: wire.Sampling{Passed: 1024}}, map[string]float64{"sampled": 976}},
		"more than there is": {gate.Gate{Open: math.MaxUint32}, map[string]float64{"counted": 1e6, "open": 1e6}},
		"connections":        {gate.Gate{Connections: &ten}, map[string]float64{"": 10}},
	} {
		t.Run(name, func(t *testing.T) {
			want := map[string]float64{}
			for route, share := range tt.want {
				if route == "" {
					want["circuit_breakers.web.default.max_connections"] = share
					continue
				}
				want["breakwater.web/charge."+route] = share
			}
			tt.gate.Key = key
			g, err := NewLayers(gate.NewSet([]gate.Gate{tt.gate}, gate.LogFilter{}))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, keysOf(t, g.Layer("any"))); diff != "" {
				t.Errorf("keys (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLayersOfNodes(t *testing.T) {
	web, own := breaker.Key{Upstream: "web"}, breaker.Key{Upstream: "web", Node: "one"}
	g, err := NewLayers(gate.NewSet([]gate.Gate{
		{Key: web, Sampling: wire.Sampling{Passed: 2}}, {Key: own, Open: 1e6}, {Key: breaker.Key{Upstream: "other"}, Open: 1e6, Sampling: wire.Sampling{Rejected: 4}},
	}, gate.LogFilter{Status: 429, Slow: 1500 * time.Microsecond, Running: [wire.RunningWindows]gate.Window{
		1: {From: 1500 * time.Microsecond, Until: time.Second}, 3: {From: time.Minute, Until: time.Hour},
	}}))
	if err != nil {
		t.Fatal(err)
	}
	shared := map[string]float64{
		"breakwater.log.status": 429, "breakwater.log.slow_ms": 1,
		"breakwater.log.running.1.from_ms": 1, "breakwater.log.running.1.until_ms": 1000,
		"breakwater.log.running.3.from_ms": 60_000, "breakwater.log.running.3.until_ms": 3_600_000,
		"breakwater.web.sampled":   500_000,
		"breakwater.other.counted": 250_000, "breakwater.other.open": 1e6,
	}
	if diff := cmp.Diff(shared, keysOf(t, g.Layer("two"))); diff != "" {
		t.Errorf("what all have (-want +got):\n%s", diff)
	}
	if g.Layer("two") != g.Layer("three") {
		t.Error("proxies without gates of their own have layers of their own")
	}
	delete(shared, "breakwater.web.sampled") // its own gate takes the place of the gate for all
	shared["breakwater.web.counted"], shared["breakwater.web.open"] = 1e6, 1e6
	if diff := cmp.Diff(shared, keysOf(t, g.Layer("one"))); diff != "" {
		t.Errorf("what one has (-want +got):\n%s", diff)
	}
	if g, err = NewLayers(gate.NewSet(nil, gate.LogFilter{Status: 500, Slow: 2 * time.Second, Running: [wire.RunningWindows]gate.Window{
		{From: 2 * time.Second, Until: 2*time.Second + wire.RunningSpan},
	}})); err != nil || len(keysOf(t, g.Layer(""))) > 0 {
		t.Errorf("the defaults have keys, or error %v", err)
	}
}

// TestAProxyIsLeftOut: the gate that lets all calls of one proxy through takes the place of the gate for all proxies.
func TestAProxyIsLeftOut(t *testing.T) {
	two := uint32(2)
	web, db := breaker.Key{Upstream: "web"}, breaker.Key{Upstream: "db"}
	ownWeb, ownDB := breaker.Key{Upstream: "web", Node: "one"}, breaker.Key{Upstream: "db", Node: "one"}
	g, err := NewLayers(gate.NewSet([]gate.Gate{
		{Key: db, Connections: &two}, {Key: ownDB}, {Key: web, Open: 1e6}, {Key: ownWeb},
	}, gate.LogFilter{Status: 429}))
	if err != nil {
		t.Fatal(err)
	}
	for node, want := range map[string]map[string]float64{
		"one": {"breakwater.log.status": 429},
		"two": {
			"breakwater.log.status": 429, "circuit_breakers.db.default.max_connections": 2,
			"breakwater.web.counted": 1e6, "breakwater.web.open": 1e6,
		},
	} {
		if diff := cmp.Diff(want, keysOf(t, g.Layer(node))); diff != "" {
			t.Errorf("what %s has (-want +got):\n%s", node, diff)
		}
	}
}

// TestEnvoyNestsShares: each route gets its share of 20,000 calls through a real Envoy, since one random number decides for
// all routes. The shares are cumulative.
func TestEnvoyNestsShares(t *testing.T) {
	u := webUpstream("web", refusingPort(t), policy.HTTP1, policy.Route{Breaker: &policy.Breaker{
		Spec: breaker.Spec{Key: breaker.Key{Upstream: "web"}, Config: breaker.DefaultConfig()}, DataPath: policy.Adaptive,
		Fallback: policy.Fallback{Response: policy.Response{Status: 429}},
	}})
	set := &policy.Set{Upstreams: []*policy.Upstream{u}}
	for name, tt := range map[string]struct {
		gate gate.Gate
		want map[wire.RouteKind]float64 // the share of each kind
	}{
		"one in a hundred asks": {gate.Gate{Open: 990_000, Probe: true}, map[wire.RouteKind]float64{wire.RouteCounted: 0.99, wire.RouteAsking: 0.01}},
		"a ramp with a sample": {gate.Gate{Open: 300_000, Sampling: wire.Sampling{Passed: 50, Rejected: 4}}, map[wire.RouteKind]float64{
			wire.RouteCounted: 0.075, wire.RouteOpen: 0.225, wire.RouteSampled: 0.014, wire.RouteClosed: 0.686,
		}},
		"closed, and not logged": {gate.Gate{Sampling: wire.Sampling{Passed: 1024}}, map[wire.RouteKind]float64{
			wire.RouteSampled: 976.0 / 1e6, wire.RouteClosed: 1 - 976.0/1e6,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			tt.gate.Key = u.Routes[0].Breaker.Spec.Key
			g, err := NewLayers(gate.NewSet([]gate.Gate{tt.gate}, gate.LogFilter{}))
			if err != nil {
				t.Fatal(err)
			}
			rs, err := Translate(set, netip.MustParseAddrPort("127.0.0.1:0"))
			if err != nil {
				t.Fatal(err)
			}
			b := static(t, rs)
			b.LayeredRuntime = &bootstrapv3.LayeredRuntime{Layers: []*bootstrapv3.RuntimeLayer{{
				Name: wire.RuntimeLayer, LayerSpecifier: &bootstrapv3.RuntimeLayer_StaticLayer{StaticLayer: g.Layer("").Message().(*runtimev3.Runtime).GetLayer()},
			}}}
			egress := startEnvoyOn(t, b, refusingPort(t))
			const calls = 20_000
			for kind, n := range countByKind(t, egress, calls) {
				want := tt.want[kind]
				deviation := 5 * math.Sqrt(calls*want*(1-want))
				if math.Abs(float64(n)-calls*want) > deviation {
					t.Errorf("%d of %d calls go by routes of kind %q, want %.0f, give or take %.0f", n, calls, kind.String(), calls*want, deviation)
				}
			}
		})
	}
}

// countByKind sends calls and counts them by the kind of their route, of all kinds; Envoy itself says which route it was.
func countByKind(t *testing.T, egress string, calls int) map[wire.RouteKind]int {
	t.Helper()
	counts := map[wire.RouteKind]int{wire.RouteCounted: 0, wire.RouteOpen: 0, wire.RouteAsking: 0, wire.RouteSampled: 0, wire.RouteClosed: 0}
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for range calls {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+egress+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "web"
		req.Header.Set("X-Request-Id", "7d6f1a5e-0a4c-9b0e-8a3c-1f0b2c3d4e5f") // draws no other number
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body) // the connection is free again after it
		resp.Body.Close()
		name := resp.Header.Get(routeHeader)
		_, kind, _ := wire.ParseRouteName(name)
		if _, known := counts[kind]; !known {
			t.Fatalf("answered %d by route %q", resp.StatusCode, name)
		}
		counts[kind]++
	}
	return counts
}
