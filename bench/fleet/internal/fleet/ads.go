package fleet

import (
	"context"
	"fmt"
	"slices"

	"breakwater.dev/bench/fleet/internal/xdswire"
)

// ads is a proxy's knowledge of the resources that come over the aggregated stream.
type ads struct {
	proxy *proxy
	delta bool
	subs  map[string]*subscription
	order []*subscription // the types that were asked for, in the order in which Envoy asks again

	endpoints []uint32 // by the number of a cluster's name: one more than the number of its endpoints' name; 0: it has none
	clusters  int      // how many clusters have endpoints
	secrets   map[uint32][]uint32
	// warming has the names of endpoints that new or changed clusters wait for. Envoy takes a response about clusters only
	// when all of them have theirs, except while it starts.
	warming map[uint32]bool
	held    []byte // the answer about clusters that waits for them; nil: none does
	started bool   // listeners were asked for
	vhds    bool   // the route configuration has virtual hosts as resources

	response *xdswire.Response // only while it is taken
	requests [][]byte          // to be sent next
	nodeSent bool              // on the present stream
}

func (a *ads) init(p *proxy) {
	*a = ads{
		proxy: p, delta: p.fleet.options.Bootstrap.Delta && !p.variant.Sotw, subs: map[string]*subscription{},
		secrets: map[uint32][]uint32{}, warming: map[uint32]bool{},
	}
	for _, typeURL := range types {
		wildcard := typeURL == xdswire.Cluster || typeURL == xdswire.Listener || typeURL == xdswire.VirtualHost
		a.subs[typeURL] = &subscription{typeURL: typeURL, names: p.fleet.names[typeURL], wildcard: wildcard}
	}
}

// aggregated serves the aggregated stream until it ends.
func (p *proxy) aggregated(ctx context.Context) error {
	x := exchange{method: deltaADS, first: p.ads.first, take: p.ads.take}
	if !p.ads.delta {
		x.method = sotwADS
	}
	return p.converse(ctx, x)
}

// first returns the requests that begin a stream.
func (a *ads) first() [][]byte {
	a.requests, a.nodeSent, a.held = nil, false, nil
	for _, s := range a.order {
		s.begun, s.nonce = false, ""
	}
	if len(a.order) == 0 {
		a.begin()
	} else {
		for _, s := range a.order {
			a.subscribe(s, nil, nil)
		}
	}
	return a.requests
}

// begin sends what Envoy sends first: a request for each runtime layer, if they come over this stream, or else one for
// clusters.
func (a *ads) begin() {
	layers := a.proxy.layersOverADS()
	if len(layers) == 0 {
		a.subscribe(a.subs[xdswire.Cluster], nil, nil)
	}
	s := a.subs[xdswire.Runtime]
	for _, l := range layers {
		s.set(s.names.number([]byte(l.Name)), awaited)
		a.subscribe(s, []string{l.Name}, nil)
	}
}

// layersOverADS returns the runtime layers that come over the aggregated stream.
func (p *proxy) layersOverADS() (layers []*layer) {
	for _, l := range p.layers {
		if l.OverADS {
			layers = append(layers, l)
		}
	}
	return layers
}

// subscribe queues a request that is no answer. The first one for a type on a stream has all names, and in delta the
// versions that the proxy has.
func (a *ads) subscribe(s *subscription, add, remove []string) {
	r := xdswire.Request{TypeURL: s.typeURL, Names: add, Unsubscribe: remove}
	if !s.begun {
		s.begun = true
		if !slices.Contains(a.order, s) {
			a.order = append(a.order, s)
		}
		r.Names, r.Unsubscribe, r.Initial = s.asked(), nil, s.versions(a.proxy.fleet.versions)
		if s.typeURL == xdswire.Runtime {
			r.Initial = a.proxy.layerVersions()
		}
	}
	a.queue(s, r)
}

// layerVersions returns the layers over the aggregated stream with the versions that the proxy has.
func (p *proxy) layerVersions() func(yield func(name, version string) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	have := map[string]string{}
	for _, l := range p.layers {
		if l.OverADS && l.version >= firstVersion {
			have[l.Name] = p.fleet.versions.text(l.version)
		}
	}
	return func(yield func(name, version string) bool) {
		for name, version := range have {
			if !yield(name, version) {
				return
			}
		}
	}
}

// answer queues the answer to the response at hand. A refusal that is not empty makes it a NACK.
func (a *ads) answer(s *subscription, refusal string) {
	a.queue(s, a.answerTo(s, refusal))
}

func (a *ads) answerTo(s *subscription, refusal string) xdswire.Request {
	if refusal != "" {
		a.proxy.counts.refused.Add(1)
	} else {
		s.version = string(a.response.Version)
	}
	return xdswire.Request{TypeURL: s.typeURL, Nonce: s.nonce, Refusal: refusal}
}

// queue queues a request for a type.
func (a *ads) queue(s *subscription, r xdswire.Request) {
	a.requests = append(a.requests, a.pack(s, r))
}

// pack writes a request in the proxy's variant of the protocol.
func (a *ads) pack(s *subscription, r xdswire.Request) []byte {
	if !a.nodeSent {
		a.nodeSent, r.Node = true, a.proxy.node
	}
	if a.delta {
		return r.Delta()
	}
	r.Version, r.Names, r.Nonce = s.version, s.asked(), s.nonce
	return r.Sotw()
}

// take applies a response, and returns the requests that follow from it.
func (a *ads) take(response []byte) ([][]byte, error) {
	read := xdswire.ReadDelta
	if !a.delta {
		read = xdswire.ReadSotw
	}
	a.response = newResponse()
	defer func() { a.response = free(a.response) }()
	if err := read(response, a.response); err != nil {
		return nil, err
	}
	s := a.subs[string(a.response.TypeURL)]
	if s == nil || !s.begun {
		return nil, fmt.Errorf("the response has the type %q, which the proxy has not asked for", a.response.TypeURL)
	}
	if !a.delta && s.nonce != "" && s.version == string(a.response.Version) && s.typeURL != xdswire.Runtime && len(a.warming) == 0 {
		for i := range a.response.Resources {
			a.proxy.again(s.typeURL, a.response.Resources[i].Name)
		}
	}
	s.answered, s.nonce, a.requests = true, string(a.response.Nonce), nil
	switch s.typeURL {
	case xdswire.Runtime:
		a.takeLayers(s, len(response))
	case xdswire.Cluster:
		a.takeClusters(s)
	default:
		if err := a.takeOthers(s); err != nil {
			return nil, err
		}
	}
	a.check()
	return a.requests, nil
}
