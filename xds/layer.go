package xds

import (
	"fmt"
	"time"

	runtimev3 "github.com/envoyproxy/go-control-plane/envoy/service/runtime/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"breakwater.dev/gate"
	"breakwater.dev/wire"
)

// Layers are a set of gates as the runtime layers of proxies. They are immutable.
type Layers struct {
	gates  *gate.Set
	shared *Resource
	nodes  map[string]*Resource // of the proxies that have gates of their own
}

// fields are the keys of a runtime layer.
type fields map[string]*structpb.Value

// NewLayers renders a set of gates, which is not nil. A gate that lets everything through needs no key.
func NewLayers(set *gate.Set) (*Layers, error) {
	shared, own := fields{}, map[string]fields{}
	shared.setFilter(set.Filter())
	gates := set.Gates()
	for i := range gates {
		g := &gates[i]
		node := g.Key.Node
		if node == "" {
			shared.setGate(g)
			continue
		}
		if own[node] == nil {
			own[node] = fields{}
		}
		own[node].setGate(g)
	}
	l := &Layers{gates: set, nodes: make(map[string]*Resource, len(own))}
	var err error
	if l.shared, err = shared.layer(); err != nil {
		return nil, err
	}
	for node, keys := range own {
		for key, value := range shared {
			if keys[key] == nil {
				keys[key] = value
			}
		}
		if l.nodes[node], err = keys.layer(); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// Gates returns the gates that the layers render.
func (l *Layers) Gates() *gate.Set { return l.gates }

// Layer returns the runtime layer of a proxy. Proxies without gates of their own share one.
func (l *Layers) Layer(node string) *Resource {
	if own := l.nodes[node]; own != nil {
		return own
	}
	return l.shared
}

func (f fields) layer() (*Resource, error) {
	r, err := newResource(wire.RuntimeLayer, &runtimev3.Runtime{Name: wire.RuntimeLayer, Layer: &structpb.Struct{Fields: f}})
	if err != nil {
		return nil, fmt.Errorf("the runtime layer: %w", err)
	}
	return r, nil
}

// What the filter of the access log does without its runtime keys.
const (
	defaultStatus = 500
	defaultSlow   = 2 * time.Second
)

// setFilter adds the keys in which a filter differs from the defaults in the listener.
func (f fields) setFilter(filter gate.LogFilter) {
	if filter.Status != 0 && filter.Status != defaultStatus {
		f[string(wire.LogStatus)] = structpb.NewNumberValue(float64(filter.Status))
	}
	if filter.Slow != 0 && filter.Slow != defaultSlow {
		f[string(wire.LogSlow)] = structpb.NewNumberValue(float64(max(filter.Slow.Milliseconds(), 1)))
	}
	if filter.Gone {
		f[string(wire.LogGone)] = structpb.NewNumberValue(100) // a filter takes no share but in its own denominator
	}
}

// setGate adds the keys in which a gate differs from the defaults in the routes. One random number decides a
// call, so each share includes those of the routes before it.
func (f fields) setGate(g *gate.Gate) {
	set := func(kind wire.RouteKind, share, usual uint32) {
		if share != usual {
			f[string(wire.ShareKey(g.Key, kind))] = millionths(share)
		}
	}
	open, sampling := min(g.Open, wire.Million), g.Sampling.All()
	set(wire.RouteCounted, open/sampling.Rejected, 0)
	set(wire.RouteOpen, open, 0)
	if g.Probe && g.Connections == nil {
		set(wire.RouteProbe, wire.Million, 0)
	}
	set(wire.RouteSampled, open+(wire.Million-open)/sampling.Passed, wire.Million)
	if g.Connections != nil {
		f[string(wire.ConnectionsKey(g.Key.Upstream))] = structpb.NewNumberValue(float64(*g.Connections))
	}
}

// millionths is a FractionalPercent as a runtime value.
func millionths(n uint32) *structpb.Value {
	return structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{
		"numerator":   structpb.NewNumberValue(float64(n)),
		"denominator": structpb.NewStringValue("MILLION"),
	}})
}
