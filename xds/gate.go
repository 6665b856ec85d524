package xds

import (
	"fmt"
	"time"

	runtimev3 "github.com/envoyproxy/go-control-plane/envoy/service/runtime/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"breakwater.dev/breaker"
	"breakwater.dev/wire"
)

// Gate is what stands in the data plane for one breaker in the data path Adaptive.
// The zero gate, but for its key, lets all calls through and has all of them logged.
type Gate struct {
	// Key is the breaker's. With a node, the gate stands in that proxy alone.
	Key breaker.Key
	// Open is the share of calls that the proxy rejects by itself, in millionths.
	Open uint32
	// Probe has the calls that are left ask for permits: the breaker is half-open. Connections
	// do not ask.
	Probe bool
	// OneIn: of so many calls that go through without a permit, one is logged
	// whatever comes of it. 0 and 1: all.
	OneIn uint32
	// RejectsOneIn: of so many calls that the proxy rejects, one is logged. 0 and 1: all.
	RejectsOneIn uint32
	// Connections, of an upstream that speaks TCP, is how many may be open at once,
	// instead of what its policy says; nil: what its policy says.
	Connections *uint32
}

// Logged is what proxies log beside samples, of all calls in the data path Adaptive.
// The zero value leaves it at the defaults.
type Logged struct {
	Status uint32        // HTTP responses with this code, or a higher one; 0: 500
	Slow   time.Duration // calls that last as long, in whole milliseconds; 0: 2 s
	// Gone has all calls logged whose callers left, however soon.
	Gone bool
}

// Gates are the gates of all breakers at one time, as runtime layers.
type Gates struct {
	shared *Resource
	nodes  map[string]*Resource // of the proxies that have gates of their own
	sample map[breaker.Key]sample
	limits map[breaker.Key]uint32 // Gate.Connections
	brief  map[string]bool        // by node; that of all is ""
}

// sample is how much is logged of what goes through, and of what is rejected.
type sample struct{ oneIn, rejectsOneIn uint32 }

// NewGates is [Logged.NewGates] of the zero value.
func NewGates(gates []Gate) (*Gates, error) { return Logged{}.NewGates(gates) }

// NewGates makes the layers. A gate that lets everything through needs no key. Of two
// gates of one key the last stands.
func (l Logged) NewGates(gates []Gate) (*Gates, error) {
	shared, own := l.keys(), map[string]map[string]*structpb.Value{}
	samples, limits, brief := map[breaker.Key]sample{}, map[breaker.Key]uint32{}, map[string]bool{}
	for i := range gates {
		g := &gates[i]
		node := g.Key.Node
		if g.Connections != nil {
			limits[g.Key] = *g.Connections
		}
		brief[node] = brief[node] || g.brief()
		if g.OneIn > 1 || g.RejectsOneIn > 1 {
			samples[g.Key] = sample{oneIn: g.OneIn, rejectsOneIn: g.RejectsOneIn}
		}
		if node == "" {
			g.keys(shared)
			continue
		}
		if own[node] == nil {
			own[node] = map[string]*structpb.Value{}
		}
		g.keys(own[node])
	}
	all := &Gates{nodes: make(map[string]*Resource, len(own)), sample: samples, limits: limits, brief: brief}
	var err error
	if all.shared, err = layer(shared); err != nil {
		return nil, err
	}
	for node, keys := range own {
		for key, value := range shared {
			if keys[key] == nil {
				keys[key] = value
			}
		}
		if all.nodes[node], err = layer(keys); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Layer returns the runtime layer of a proxy. Proxies without gates of their own share one.
func (g *Gates) Layer(node string) *Resource {
	if own := g.nodes[node]; own != nil {
		return own
	}
	return g.shared
}

// Brief tells whether a proxy's layer has a gate of a breaker that is half-open or in its ramp. Such a gate is
// right for a short time only: it rejects calls of a service that may be well again.
func (g *Gates) Brief(node string) bool { return g.brief[""] || g.brief[node] }

func (g *Gate) brief() bool { return g.Probe || g.Open > 0 && g.Open < wire.Million }

// OneIn tells how much proxies log of a breaker's calls: one of so many that go
// through, and one of so many that are rejected; 1: all.
func (g *Gates) OneIn(key breaker.Key) (through, rejected uint32) {
	s := g.sample[key]
	return max(s.oneIn, 1), max(s.rejectsOneIn, 1)
}

// Connections tells how many connections a proxy may have to the upstream of a breaker that
// speaks TCP; gated is false where that is what its policy says. Nil gates say nothing of any.
func (g *Gates) Connections(key breaker.Key, node string) (limit uint32, gated bool) {
	if g == nil {
		return 0, false
	}
	key.Node = node
	if limit, gated = g.limits[key]; !gated {
		key.Node = ""
		limit, gated = g.limits[key]
	}
	return limit, gated
}

func layer(keys map[string]*structpb.Value) (*Resource, error) {
	r, err := newResource(wire.RuntimeLayer, &runtimev3.Runtime{Name: wire.RuntimeLayer, Layer: &structpb.Struct{Fields: keys}})
	if err != nil {
		return nil, fmt.Errorf("the runtime layer: %w", err)
	}
	return r, nil
}

// What holds without the runtime keys of the access log's filter.
const (
	defaultStatus = 500
	defaultSlow   = 2 * time.Second
)

// keys are those that differ from the defaults in the listener.
func (l Logged) keys() map[string]*structpb.Value {
	keys := map[string]*structpb.Value{}
	if l.Status != 0 && l.Status != defaultStatus {
		keys[string(wire.LogStatus)] = structpb.NewNumberValue(float64(l.Status))
	}
	if l.Slow != 0 && l.Slow != defaultSlow {
		keys[string(wire.LogSlow)] = structpb.NewNumberValue(float64(max(l.Slow.Milliseconds(), 1)))
	}
	if l.Gone {
		keys[string(wire.LogGone)] = structpb.NewNumberValue(100) // a filter takes no share but in its own denominator
	}
	return keys
}

// keys adds what differs from the defaults in the routes. One random number decides a
// call, so each share includes those of the routes before it.
func (g *Gate) keys(into map[string]*structpb.Value) {
	set := func(kind wire.RouteKind, share, usual uint32) {
		if share != usual {
			into[string(wire.ShareKey(g.Key, kind))] = millionths(share)
		}
	}
	open := min(g.Open, wire.Million)
	set(wire.RouteCounted, open/max(g.RejectsOneIn, 1), 0)
	set(wire.RouteOpen, open, 0)
	if g.Probe && g.Connections == nil {
		set(wire.RouteProbe, wire.Million, 0)
	}
	set(wire.RouteSampled, open+(wire.Million-open)/max(g.OneIn, 1), wire.Million)
	if g.Connections != nil {
		into[string(wire.ConnectionsKey(g.Key.Upstream))] = structpb.NewNumberValue(float64(*g.Connections))
	}
}

// millionths is a FractionalPercent as a runtime value.
func millionths(n uint32) *structpb.Value {
	return structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{
		"numerator":   structpb.NewNumberValue(float64(n)),
		"denominator": structpb.NewStringValue("MILLION"),
	}})
}
