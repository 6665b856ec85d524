package xds

import (
	"fmt"
	"maps"
	"sync"

	runtimev3 "github.com/envoyproxy/go-control-plane/envoy/service/runtime/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"breakwater.dev/gate"
	"breakwater.dev/wire"
	"breakwater.dev/xds/internal/listener"
	"breakwater.dev/xds/internal/resource"
	"breakwater.dev/xds/internal/route"
)

// Layers are a set of gates, rendered as the runtime layers of proxies. They are immutable.
type Layers struct {
	gates  *gate.Set
	shared *Resource
	nodes  map[string]*Resource // by the ids of the proxies that have gates of their own
}

// fields are the keys of a runtime layer.
type fields map[string]*structpb.Value

// NewLayers renders a set of gates, which is not nil. A gate that lets all requests through needs no key.
func NewLayers(set *gate.Set) (*Layers, error) {
	shared, own := fields{}, map[string][]*gate.Gate{}
	shared.setFilter(set.Filter())
	gates := set.Gates()
	for i := range gates {
		if g := &gates[i]; g.Key.Node == "" {
			shared.setGate(g)
		} else {
			own[g.Key.Node] = append(own[g.Key.Node], g)
		}
	}
	l := &Layers{gates: set, nodes: make(map[string]*Resource, len(own))}
	var err error
	if l.shared, err = shared.layer(); err != nil {
		return nil, err
	}
	for node, gates := range own {
		keys := maps.Clone(shared)
		for _, g := range gates {
			keys.setGate(g)
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

// emptyLayer returns the layer without keys.
var emptyLayer = sync.OnceValues(func() (*Resource, error) { return fields{}.layer() })

// IsEmptyLayer reports whether a runtime layer has no keys.
func IsEmptyLayer(layer *Resource) bool {
	empty, err := emptyLayer()
	return err == nil && layer.Version == empty.Version
}

func (f fields) layer() (*Resource, error) {
	r, err := resource.Make(wire.RuntimeLayer, &runtimev3.Runtime{Name: wire.RuntimeLayer, Layer: &structpb.Struct{Fields: f}})
	if err != nil {
		return nil, fmt.Errorf("the runtime layer: %w", err)
	}
	return r, nil
}

// setFilter adds the keys in which the filter of the access log differs from its defaults in the listener.
func (f fields) setFilter(filter gate.LogFilter) {
	if filter.Status != 0 && filter.Status != listener.LoggedStatus {
		f[string(wire.LogStatus)] = structpb.NewNumberValue(float64(filter.Status))
	}
	if filter.Slow != 0 && filter.Slow != listener.LoggedSlow {
		f[string(wire.LogSlow)] = structpb.NewNumberValue(float64(max(filter.Slow.Milliseconds(), 1)))
	}
	for i, w := range filter.Running {
		if from, until := listener.LoggedRunning(i); w == (gate.Window{}) || w == (gate.Window{From: from, Until: until}) {
			continue
		}
		from, until := wire.LogRunning(i)
		f[string(from)] = structpb.NewNumberValue(float64(max(w.From.Milliseconds(), 1)))
		f[string(until)] = structpb.NewNumberValue(float64(w.Until.Milliseconds()))
	}
	if filter.Gone {
		f[string(wire.LogGone)] = structpb.NewNumberValue(100) // in percent: the filter takes no other denominator
	}
}

// setGate has the keys of a breaker say what the gate says. There is no key where the gate is like the zero gate, whose
// shares are the defaults in the routes.
func (f fields) setGate(g *gate.Gate) {
	var none gate.Gate
	for kind := range route.Shares {
		key := string(wire.ShareKey(g.Key, kind))
		if share := g.Share(kind); share != none.Share(kind) {
			f[key] = millionths(share)
		} else {
			delete(f, key)
		}
	}
	key := string(wire.ConnectionsKey(g.Key.Upstream))
	if g.Connections != nil {
		f[key] = structpb.NewNumberValue(float64(*g.Connections))
	} else {
		delete(f, key)
	}
}

// millionths returns a FractionalPercent as a runtime value.
func millionths(n uint32) *structpb.Value {
	return structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{
		"numerator":   structpb.NewNumberValue(float64(n)),
		"denominator": structpb.NewStringValue("MILLION"),
	}})
}
