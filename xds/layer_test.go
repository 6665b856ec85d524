package xds

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/netip"
	"slices"
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
		if _, _, share := wire.ParseShareKey(wire.RuntimeKey(key)); share {
			n *= wire.Million / 100 // Envoy takes a number for a percentage
		}
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
			if diff := cmp.Diff(want, keysOf(t, g.Whole("any"))); diff != "" {
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
	if diff := cmp.Diff(shared, keysOf(t, g.Whole("two"))); diff != "" {
		t.Errorf("what all have (-want +got):\n%s", diff)
	}
	if g.Whole("two") != g.Whole("three") {
		t.Error("proxies without gates of their own have layers of their own")
	}
	delete(shared, "breakwater.web.sampled") // its own gate takes the place of the gate for all
	shared["breakwater.web.counted"], shared["breakwater.web.open"] = 1e6, 1e6
	if diff := cmp.Diff(shared, keysOf(t, g.Whole("one"))); diff != "" {
		t.Errorf("what one has (-want +got):\n%s", diff)
	}
	if g, err = NewLayers(gate.NewSet(nil, gate.LogFilter{Status: 500, Slow: 2 * time.Second, Running: [wire.RunningWindows]gate.Window{
		{From: 2 * time.Second, Until: 2*time.Second + wire.RunningSpan},
	}})); err != nil || len(keysOf(t, g.Whole(""))) > 0 {
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
		if diff := cmp.Diff(want, keysOf(t, g.Whole(node))); diff != "" {
			t.Errorf("what %s has (-want +got):\n%s", node, diff)
		}
	}
}

// TestPartsOfALayer: the parts of a layer have its keys, each key once, and the filter's keys are in one part. Parts without
// keys are empty layers.
func TestPartsOfALayer(t *testing.T) {
	var gates []gate.Gate
	for i := range 40 {
		gates = append(gates, gate.Gate{Key: breaker.Key{Upstream: fmt.Sprintf("u%02d", i)}, Open: uint32(i + 1)})
	}
	gates = append(gates, gate.Gate{Key: breaker.Key{Upstream: "u00", Node: "one"}, Open: 1e6})
	for name, set := range map[string]*gate.Set{
		"many": gate.NewSet(gates, gate.LogFilter{Status: 429}), "few": gate.NewSet(gates[:2], gate.LogFilter{}), "none": gate.NewSet(nil, gate.LogFilter{}),
	} {
		l, err := NewLayers(set)
		if err != nil {
			t.Fatal(err)
		}
		for _, node := range []string{"one", "two"} {
			all := map[string]float64{}
			for part := range wire.RuntimeParts {
				r := l.Parts(node).Find(wire.RuntimePart(part))
				keys := keysOf(t, r)
				if IsEmptyLayer(r) != (len(keys) == 0) || r.Message().(*runtimev3.Runtime).GetName() != r.Name {
					t.Errorf("%s, %s: %s is called %s, and is empty: %t, with %d keys", name, node, r.Name, r.Message().(*runtimev3.Runtime).GetName(), IsEmptyLayer(r), len(keys))
				}
				for key, v := range keys {
					if _, twice := all[key]; twice {
						t.Errorf("%s, %s: %s is in two parts", name, node, key)
					}
					all[key] = v
					if share, _, ok := wire.ParseShareKey(wire.RuntimeKey(key)); ok && wire.RuntimePartOf(share) != part || !ok && part != wire.LogPart {
						t.Errorf("%s, %s: %s is in part %d", name, node, key, part)
					}
				}
			}
			whole := l.Whole(node)
			if diff := cmp.Diff(keysOf(t, whole), all); diff != "" || IsEmptyLayer(whole) != (len(all) == 0) {
				t.Errorf("%s, %s: the parts beside the whole (-whole +parts):\n%s", name, node, diff)
			}
		}
	}
}

// TestNextLayersTakeOver: a part that does not change is the same resource, and not only an equal one, and all parts are as if nothing
// had been there before.
func TestNextLayersTakeOver(t *testing.T) {
	two := uint32(2)
	a, b, db := breaker.Key{Upstream: "a"}, breaker.Key{Upstream: "b"}, breaker.Key{Upstream: "db"}
	own := func(k breaker.Key) breaker.Key { return breaker.Key{Upstream: k.Upstream, Node: "one"} }
	again := uint32(2)
	before := []gate.Gate{{Key: a, Open: 1}, {Key: own(a), Open: 2}, {Key: b, Open: 3}, {Key: db, Connections: &two}}
	for name, tt := range map[string]struct {
		gates  []gate.Gate
		filter gate.LogFilter
		parts  map[string][]int // the parts that change, by node
	}{
		"nothing":            {[]gate.Gate{{Key: a, Open: 1}, {Key: own(a), Open: 2}, {Key: b, Open: 3}, {Key: db, Connections: &again}}, gate.LogFilter{}, nil},
		"one":                {[]gate.Gate{before[0], before[1], {Key: b, Open: 4}, before[3]}, gate.LogFilter{}, map[string][]int{"one": {wire.RuntimePartOf(b)}, "two": {wire.RuntimePartOf(b)}}},
		"one that it had":    {[]gate.Gate{{Key: a, Open: 9}, before[1], before[2], before[3]}, gate.LogFilter{}, map[string][]int{"two": {wire.RuntimePartOf(a)}}},
		"of one proxy":       {[]gate.Gate{before[0], {Key: own(a), Open: 9}, before[2], before[3]}, gate.LogFilter{}, map[string][]int{"one": {wire.RuntimePartOf(a)}}},
		"no longer its own":  {[]gate.Gate{before[0], before[2], before[3]}, gate.LogFilter{}, map[string][]int{"one": {wire.RuntimePartOf(a)}}},
		"the filter":         {before, gate.LogFilter{Status: 429}, map[string][]int{"one": {wire.LogPart}, "two": {wire.LogPart}}},
		"another connection": {[]gate.Gate{before[0], before[1], before[2], {Key: db}}, gate.LogFilter{}, map[string][]int{"one": {wire.RuntimePartOf(db)}, "two": {wire.RuntimePartOf(db)}}},
	} {
		t.Run(name, func(t *testing.T) {
			first, err1 := NewLayers(gate.NewSet(before, gate.LogFilter{}))
			set := gate.NewSet(tt.gates, tt.filter)
			next, err2 := first.Next(set)
			anew, err3 := NewLayers(set)
			if err := errors.Join(err1, err2, err3); err != nil {
				t.Fatal(err)
			}
			for _, node := range []string{"one", "two"} {
				if !next.Same(anew, node) || next.Whole(node).Version != anew.Whole(node).Version {
					t.Errorf("%s: other layers than if nothing had been there before", node)
				}
				if same := next.Same(first, node); same != (tt.parts[node] == nil) {
					t.Errorf("%s: the same as before: %t", node, same)
				}
				for part := range wire.RuntimeParts {
					name := wire.RuntimePart(part)
					if same := next.Parts(node).Find(name) == first.Parts(node).Find(name); same == slices.Contains(tt.parts[node], part) {
						t.Errorf("%s: %s is the resource that it was: %t", node, name, same)
					}
				}
			}
		})
	}
}

// BenchmarkNextLayers renders one more open breaker, while 1,000 are open.
func BenchmarkNextLayers(b *testing.B) {
	var gates []gate.Gate
	for i := range 1001 {
		gates = append(gates, gate.Gate{Key: breaker.Key{Upstream: fmt.Sprintf("upstream-%04d", i)}, Open: 1e6})
	}
	first, err := NewLayers(gate.NewSet(gates[1:], gate.LogFilter{}))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := first.Next(gate.NewSet(gates, gate.LogFilter{})); err != nil {
			b.Fatal(err)
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
				Name: wire.RuntimeLayer, LayerSpecifier: &bootstrapv3.RuntimeLayer_StaticLayer{StaticLayer: g.Whole("").Message().(*runtimev3.Runtime).GetLayer()},
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
