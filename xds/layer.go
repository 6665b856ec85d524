package xds

import (
	"bytes"
	"fmt"
	"slices"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"breakwater.dev/breaker"
	"breakwater.dev/gate"
	"breakwater.dev/wire"
	"breakwater.dev/xds/internal/listener"
	"breakwater.dev/xds/internal/resource"
	"breakwater.dev/xds/internal/route"
)

// Layers are a set of gates, rendered as the runtime layers of proxies: as parts, and as one whole layer for proxies whose bootstrap
// asks for that. They are immutable.
type Layers struct {
	gates  *gate.Set
	filter []byte // the keys of the filter
	shared *view
	nodes  map[string]*view // by the ids of the proxies that have gates of their own
}

// view is the layers of one proxy, or of many.
type view struct {
	parts [wire.RuntimeParts]*layerPart
	list  *List
	whole func() *Resource
}

// layerPart is one part of a layer, with the keys of each gate in it. It is immutable.
type layerPart struct {
	entries  []entry
	filter   []byte // the keys of the filter, in [wire.LogPart] only
	resource *Resource
}

// entry is a gate with its keys, as fields of a marshalled structpb.Struct.
type entry struct {
	gate   gate.Gate
	fields []byte
}

// NewLayers renders a set of gates, which is not nil. A gate that lets all requests through needs no key.
func NewLayers(set *gate.Set) (*Layers, error) { return new(Layers).Next(set) }

// Next renders a set of gates, which is not nil. It takes over what does not change.
func (l *Layers) Next(set *gate.Set) (*Layers, error) {
	var shared [wire.RuntimeParts][]*gate.Gate
	own := map[string]map[int][]*gate.Gate{}
	gates := set.Gates()
	for i := range gates {
		g := &gates[i]
		at := wire.RuntimePartOf(g.Key)
		if g.Key.Node == "" {
			shared[at] = append(shared[at], g)
			continue
		}
		if own[g.Key.Node] == nil {
			own[g.Key.Node] = map[int][]*gate.Gate{}
		}
		own[g.Key.Node][at] = append(own[g.Key.Node][at], g)
	}
	next := &Layers{gates: set, nodes: make(map[string]*view, len(own))}
	var err error
	if next.filter, err = keysOfFilter(set.Filter()).marshal(); err != nil {
		return nil, err
	}
	var parts [wire.RuntimeParts]*layerPart
	for i := range parts {
		var before *layerPart
		if l.shared != nil {
			before = l.shared.parts[i]
		}
		if parts[i], err = before.next(i, shared[i], next.filter); err != nil {
			return nil, err
		}
	}
	next.shared = viewOf(l.shared, parts)
	for node, gates := range own {
		if next.nodes[node], err = next.own(l.nodes[node], gates); err != nil {
			return nil, err
		}
	}
	return next, nil
}

// own returns the layers of a proxy with gates of its own, by part. before has its earlier layers; nil: it had no gates of its own.
func (l *Layers) own(before *view, gates map[int][]*gate.Gate) (*view, error) {
	parts := l.shared.parts
	for i, own := range gates {
		from := parts[i]
		if before != nil {
			from = before.parts[i]
		}
		var err error
		if parts[i], err = from.next(i, replaced(parts[i].entries, own), l.filter); err != nil {
			return nil, err
		}
	}
	return viewOf(before, parts), nil
}

// replaced returns the gates for all proxies, except where the proxy has gates of its own, and these.
func replaced(all []entry, own []*gate.Gate) []*gate.Gate {
	gates, mine := slices.Clone(own), map[breaker.Key]bool{}
	for _, g := range own {
		mine[breaker.Key{Upstream: g.Key.Upstream, Route: g.Key.Route}] = true
	}
	for i := range all {
		if g := &all[i].gate; !mine[g.Key] {
			gates = append(gates, g)
		}
	}
	return gates
}

// next returns the part with these gates, and the filter if it belongs there. It takes over what does not change. A nil part has
// nothing.
func (p *layerPart) next(at int, gates []*gate.Gate, filter []byte) (*layerPart, error) {
	if at != wire.LogPart {
		filter = nil
	}
	known := map[breaker.Key]*entry{}
	if p != nil {
		if bytes.Equal(p.filter, filter) && slices.EqualFunc(p.entries, gates, func(e entry, g *gate.Gate) bool { return sameGate(&e.gate, g) }) {
			return p, nil
		}
		for i := range p.entries {
			known[p.entries[i].gate.Key] = &p.entries[i]
		}
	}
	n := &layerPart{entries: make([]entry, len(gates)), filter: filter}
	for i, g := range gates {
		if e := known[g.Key]; e != nil && sameGate(&e.gate, g) {
			n.entries[i] = *e
			continue
		}
		fields, err := keysOfGate(g).marshal()
		if err != nil {
			return nil, err
		}
		n.entries[i] = entry{*g, fields}
	}
	n.resource = layerOf(wire.RuntimePart(at), n)
	return n, nil
}

// sameGate reports whether two gates are equal.
func sameGate(a, b *gate.Gate) bool {
	x, y := *a, *b
	if x.Connections != nil && y.Connections != nil && *x.Connections == *y.Connections {
		x.Connections = y.Connections
	}
	return x == y
}

// layerOf returns a layer with the keys of parts, each of which is in one part only.
func layerOf(name string, parts ...*layerPart) *Resource {
	const fieldName, fieldLayer protowire.Number = 1, 2 // in envoy.service.runtime.v3.Runtime
	size := 0
	for _, p := range parts {
		size += len(p.filter)
		for i := range p.entries {
			size += len(p.entries[i].fields)
		}
	}
	b := make([]byte, 0, emptyBytes(name)+protowire.SizeBytes(size))
	b = protowire.AppendString(protowire.AppendTag(b, fieldName, protowire.BytesType), name)
	b = protowire.AppendVarint(protowire.AppendTag(b, fieldLayer, protowire.BytesType), uint64(size))
	for _, p := range parts {
		b = append(b, p.filter...)
		for i := range p.entries {
			b = append(b, p.entries[i].fields...)
		}
	}
	return resource.New(name, resource.VersionOf(b), &anypb.Any{TypeUrl: RuntimeType, Value: b})
}

// emptyBytes returns the size of a layer without keys.
func emptyBytes(name string) int {
	return 1 + protowire.SizeBytes(len(name)) + 1 + protowire.SizeBytes(0)
}

// IsEmptyLayer reports whether a runtime layer has no keys.
func IsEmptyLayer(layer *Resource) bool { return len(layer.Value()) == emptyBytes(layer.Name) }

// viewOf returns the layers that have these parts. before is the view in whose place it comes; nil: there was none.
func viewOf(before *view, parts [wire.RuntimeParts]*layerPart) *view {
	if before != nil && before.parts == parts {
		return before
	}
	all := make([]*Resource, len(parts))
	for i, p := range parts {
		all[i] = p.resource
	}
	var pool *Pool
	return &view{parts: parts, list: pool.List(all), whole: sync.OnceValue(func() *Resource { return layerOf(wire.RuntimeLayer, parts[:]...) })}
}

// Gates returns the gates that the layers render.
func (l *Layers) Gates() *gate.Set { return l.gates }

func (l *Layers) of(node string) *view {
	if own := l.nodes[node]; own != nil {
		return own
	}
	return l.shared
}

// Parts returns the parts of a proxy's runtime layer. Proxies without gates of their own share them.
func (l *Layers) Parts(node string) *List { return l.of(node).list }

// Whole returns a proxy's runtime layer, with the keys of all parts. It is made when it is first asked for.
func (l *Layers) Whole(node string) *Resource { return l.of(node).whole() }

// Same reports whether a proxy's layer is the same in both.
func (l *Layers) Same(other *Layers, node string) bool { return l.Parts(node).Same(other.Parts(node)) }

// fields are the keys of a runtime layer.
type fields map[string]*structpb.Value

// marshal returns the keys as fields of a marshalled structpb.Struct. The fields of two structs, one behind the other, make one struct.
func (f fields) marshal() ([]byte, error) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(&structpb.Struct{Fields: f})
	if err != nil {
		return nil, fmt.Errorf("the runtime layer: %w", err)
	}
	return b, nil
}

// keysOfFilter returns the keys in which the filter of the access log differs from its defaults in the listener.
func keysOfFilter(filter gate.LogFilter) fields {
	f := fields{}
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
	return f
}

// keysOfGate returns the keys of a breaker. There is none where the gate is like the zero gate, whose shares are the defaults in the
// routes.
func keysOfGate(g *gate.Gate) fields {
	f := fields{}
	var none gate.Gate
	for kind := range route.Shares {
		if share := g.Share(kind); share != none.Share(kind) {
			f[string(wire.ShareKey(g.Key, kind))] = shareValue(share)
		}
	}
	if g.Connections != nil {
		f[string(wire.ConnectionsKey(g.Key.Upstream))] = structpb.NewNumberValue(float64(*g.Connections))
	}
	return f
}

// shareValue returns a share in millionths as a runtime value. Envoy takes a number for a percentage, and draws it by the denominator
// 100. Other shares than none and all would not nest then: see [wire.Million].
func shareValue(n uint32) *structpb.Value {
	switch n {
	case 0:
		return structpb.NewNumberValue(0)
	case wire.Million:
		return structpb.NewNumberValue(100)
	}
	return structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{
		"numerator":   structpb.NewNumberValue(float64(n)),
		"denominator": structpb.NewStringValue("MILLION"),
	}})
}
