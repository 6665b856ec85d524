package fleet

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"breakwater.dev/bench/fleet/internal/bootstrap"
	"breakwater.dev/bench/fleet/internal/expect"
	"breakwater.dev/bench/fleet/internal/xdswire"
	"breakwater.dev/wire"
)

// proxy is one simulated proxy.
type proxy struct {
	fleet   *Fleet
	index   int
	id      string
	node    []byte
	variant Variant
	conn    *grpc.ClientConn
	counts  counters
	streams int                    // how many streams it has while it is connected
	open    atomic.Int32           // of these, how many are open and have sent what a proxy sends first
	problem atomic.Pointer[string] // why a stream ended last

	ads ads // belongs to the goroutine of the aggregated stream

	mu     sync.Mutex // guards the layers
	layers []*layer
	whole  bool // the aggregated stream has brought as many upstreams as the expected change needs
}

func (f *Fleet) newProxy(i int) (*proxy, error) {
	p := &proxy{fleet: f, index: i, id: fmt.Sprintf("proxy-%05d", i), streams: 1}
	if f.options.Variant != nil {
		p.variant = f.options.Variant(i)
	}
	var upstreams []string
	if f.options.Upstreams != nil {
		upstreams = f.options.Upstreams(i)
	}
	var err error
	if p.node, err = f.options.Bootstrap.Node(p.id, upstreams); err != nil {
		return nil, err
	}
	if p.conn, err = f.dial(i, p.variant); err != nil {
		return nil, err
	}
	for _, l := range layersOf(f.options.Bootstrap, p.variant) {
		p.layers = append(p.layers, &layer{Layer: l, version: awaited})
		if !l.OverADS {
			p.streams++
		}
	}
	p.ads.init(p)
	return p, nil
}

// layersOf returns the layers of a proxy. If it uses SotW it may have one layer on a stream, since Envoy crashes when one of several
// expires. The control plane has a layer with all keys for it.
func layersOf(b *bootstrap.Bootstrap, v Variant) []bootstrap.Layer {
	if !v.Sotw || len(b.Layers) < 2 {
		return b.Layers
	}
	return []bootstrap.Layer{{Name: wire.RuntimeLayer, OverADS: true}}
}

// Envoy opens a lost stream again after a random time of at most pause, which doubles up to maxPause. The bootstrap says so.
const pause, maxPause = 500 * time.Millisecond, 2 * time.Second

// run serves a stream again and again until ctx ends.
func (p *proxy) run(ctx context.Context, serve func(ctx context.Context) error) {
	limit := pause
	for {
		began := time.Now()
		err := serve(ctx)
		if ctx.Err() != nil {
			return
		}
		text := err.Error()
		p.problem.Store(&text)
		if time.Since(began) > maxPause {
			limit = pause // the stream was open
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(rand.N(limit)):
		}
		limit = min(2*limit, maxPause)
	}
}

// The methods of the discovery services.
const (
	deltaADS     = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
	sotwADS      = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
	deltaRuntime = "/envoy.service.runtime.v3.RuntimeDiscoveryService/DeltaRuntime"
	sotwRuntime  = "/envoy.service.runtime.v3.RuntimeDiscoveryService/StreamRuntime"
)

// exchange is the conversation over one stream: take gets each response, and returns the requests that follow from it.
type exchange struct {
	method string
	first  func() [][]byte // returns the requests that begin the stream
	take   func(response []byte) (requests [][]byte, err error)
}

// converse runs a stream until it ends.
func (p *proxy) converse(ctx context.Context, x exchange) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := p.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, x.method,
		grpc.ForceCodecV2(rawCodec{}), grpc.MaxCallRecvMsgSize(maxResponse))
	if err != nil {
		p.counts.failed.Add(1)
		return err
	}
	if err := send(stream, x.first()); err != nil {
		p.counts.failed.Add(1)
		return err
	}
	p.open.Add(1)
	defer p.open.Add(-1)
	for {
		if err := p.wait(ctx); err != nil {
			return err
		}
		var requests [][]byte
		err := stream.RecvMsg(&message{take: func(response []byte) (err error) {
			p.counts.bytes.Add(int64(len(response)))
			p.counts.responses.Add(1)
			requests, err = x.take(response)
			return err
		}})
		if err == nil {
			err = send(stream, requests)
		}
		if err != nil {
			p.counts.ended.Add(1)
			return err
		}
	}
}

// wait waits for as long as the variant of the proxy says.
func (p *proxy) wait(ctx context.Context) error {
	if p.variant.Delay == 0 {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(p.variant.Delay):
		return nil
	}
}

// send sends requests. When the stream has ended, RecvMsg has the reason.
func send(stream grpc.ClientStream, requests [][]byte) error {
	for _, r := range requests {
		if err := stream.SendMsg(&message{bytes: r}); err != nil {
			return errors.Join(err, stream.RecvMsg(&message{take: func([]byte) error { return nil }}))
		}
	}
	return nil
}

// happened tells the fleet about an event.
func (p *proxy) happened(e expect.Event, version []byte) {
	if e.Body != nil {
		p.counts.resources.Add(1)
	} else {
		p.counts.removed.Add(1)
	}
	if p.index == 0 && p.fleet.options.Received != nil {
		p.fleet.options.Received(e, version)
	}
	if expected := p.fleet.expected.Load(); expected != nil {
		expected.Happened(p.index, e)
	}
}

// again counts a resource that came in a version that the proxy has.
func (p *proxy) again(typeURL string, name []byte) {
	p.counts.again.Add(1)
	example := fmt.Sprintf("%s %s, sent again to %s", typeURL[strings.LastIndexByte(typeURL, '.')+1:], name, p.id)
	p.fleet.example.Store(&example)
}

// expire drops the layers that were not renewed in time.
func (p *proxy) expire(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.layers {
		if !l.expires.IsZero() && now.After(l.expires) {
			l.drop()
			p.counts.lost.Add(1)
		}
	}
}

// checkLayers tells the fleet which keys the layers have. The caller holds p.mu.
func (p *proxy) checkLayers() {
	change := p.fleet.expected.Load()
	if change == nil {
		return
	}
	change.Holds(p.index, func(key string) bool {
		return slices.ContainsFunc(p.layers, func(l *layer) bool { return l.content[key] })
	})
	p.checkWhole(change)
}

// checkWhole tells the fleet that the proxy has all resources and layers, if it has. The caller holds p.mu.
func (p *proxy) checkWhole(change *expect.Change) {
	if p.whole && !slices.ContainsFunc(p.layers, func(l *layer) bool { return !l.answered }) {
		if _, needed := change.NeedsWhole(p.index); needed {
			change.IsWhole(p.index)
		}
	}
}

// takeLayers applies a response about some of the runtime layers, and returns why it is refused; empty: it is taken.
func (p *proxy) takeLayers(r *xdswire.Response, size int, layers []*layer) (refusal string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, renews := time.Now(), len(r.Resources) > 0 && len(r.Removed) == 0
	for i := range r.Resources {
		resource := &r.Resources[i]
		l := named(layers, resource.Name)
		if l == nil {
			return fmt.Sprintf("Unexpected RTDS runtime: %s", resource.Name)
		}
		version := p.fleet.versions.number(versionOf(resource, r))
		had, ttl := l.version, !l.expires.IsZero()
		again, wrong := l.take(resource, version, &p.fleet.contents, now)
		switch {
		case wrong != "":
			return wrong
		case again:
			continue
		case had == version && !ttl:
			p.again(xdswire.Runtime, resource.Name)
		}
		renews = false
		p.happened(expect.Event{TypeURL: xdswire.Runtime, Name: resource.Name, Body: resource.Body}, resource.Version)
	}
	for _, name := range r.Removed {
		if l := named(layers, name); l != nil {
			l.drop()
			l.answered = true
			p.happened(expect.Event{TypeURL: xdswire.Runtime, Name: name}, nil)
		}
	}
	if renews {
		p.counts.heartbeats.Add(1)
		p.counts.heartbeatBytes.Add(int64(size))
	}
	p.checkLayers()
	return ""
}

// versionOf returns the version of a resource: its own in delta, the response's in SotW.
func versionOf(resource *xdswire.Resource, r *xdswire.Response) []byte {
	if len(resource.Version) > 0 {
		return resource.Version
	}
	return r.Version
}

// named returns the layer with a name, or nil.
func named(layers []*layer, name []byte) *layer {
	for _, l := range layers {
		if l.Name == string(name) {
			return l
		}
	}
	return nil
}
