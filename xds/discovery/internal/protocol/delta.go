package protocol

import (
	"slices"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"breakwater.dev/xds"
)

// DeltaStream is the part of a gRPC stream that the delta protocol needs. The aggregated and the runtime service both
// have it.
type DeltaStream interface {
	Recv() (*discoveryv3.DeltaDiscoveryRequest, error)
	Send(*discoveryv3.DeltaDiscoveryResponse) error
}

// NewDelta returns a stream of incremental xDS.
func NewDelta(stream DeltaStream) Stream { return delta{stream} }

type delta struct{ stream DeltaStream }

func (d delta) Kind() Kind { return Delta }

func (d delta) Recv() (Request, error) {
	m, err := d.stream.Recv()
	if err != nil {
		return Request{}, err
	}
	return Request{
		Node: m.GetNode(), TypeURL: m.GetTypeUrl(), Nonce: m.GetResponseNonce(), Refused: m.GetErrorDetail(), change: deltaChange{m},
	}, nil
}

func (d delta) Send(r *Response) error {
	m := &discoveryv3.DeltaDiscoveryResponse{TypeUrl: r.TypeURL, Nonce: r.Nonce, RemovedResources: r.Removed}
	for _, resource := range r.Resources {
		wrapped := &discoveryv3.Resource{Name: resource.Name, Version: resource.Version, Resource: resource.Body}
		if r.TTL > 0 {
			wrapped.Ttl = durationpb.New(r.TTL)
		}
		m.Resources = append(m.Resources, wrapped)
	}
	return d.stream.Send(m)
}

// deltaChange adds names to a subscription, and removes names from it.
type deltaChange struct {
	*discoveryv3.DeltaDiscoveryRequest
}

func (c deltaChange) size() int {
	return len(c.GetResourceNamesSubscribe()) + len(c.GetInitialResourceVersions())
}

func (c deltaChange) apply(s *Subscription, first bool) {
	if first || len(c.GetResourceNamesSubscribe()) > 0 || len(c.GetResourceNamesUnsubscribe()) > 0 {
		s.unsync()
	}
	if first {
		s.resumed = len(c.GetInitialResourceVersions()) > 0
		for name, version := range c.GetInitialResourceVersions() {
			s.sent[name] = &xds.Resource{Name: name, Version: claimed(version)}
		}
		// A first request that names nothing means everything, for types that allow it.
		s.wildcard = len(c.GetResourceNamesSubscribe()) == 0
	}
	for _, name := range c.GetResourceNamesSubscribe() {
		if name == "*" {
			s.wildcard = true
			continue
		}
		s.names[name] = true
		// A proxy that asks for a resource again has forgotten it, and waits for an answer.
		if !first {
			delete(s.sent, name)
		}
	}
	for _, name := range c.GetResourceNamesUnsubscribe() {
		if name == "*" {
			s.wildcard = false
			continue
		}
		delete(s.names, name)
	}
	if len(c.GetResourceNamesUnsubscribe()) > 0 {
		s.forgetUnwanted()
	}
}

func (s *Subscription) respondDelta(seq uint64, resources []*xds.Resource, removals Removals) *Response {
	if changed, ok := s.follow(resources); ok {
		add := s.addable(changed)
		if len(add) == 0 {
			return nil
		}
		return s.respond(seq, add, nil)
	}
	add := s.addable(resources)
	// A proxy may ask for a resource that does not exist. It gets that answer at once: Envoy holds its answer about
	// clusters back until then, and removals wait for that.
	gone := s.absent(resources)
	surplus := s.surplus(resources)
	for _, name := range surplus {
		had := s.sent[name]
		awaited := s.again[name] && s.names[name]
		switch {
		case s.removes(removals, name) || awaited && had.Body == nil: // the proxy has it from an earlier stream, and we do not
			gone = append(gone, name)
		case awaited: // it may not go yet, so it is sent again
			add = append(add, had)
		}
	}
	slices.Sort(gone)
	// A proxy that starts waits for its first answer even if there is nothing to say.
	greet := !s.responded && len(s.sent) == 0
	if len(add) == 0 && len(gone) == 0 && !greet {
		if len(surplus) == 0 {
			s.sync(resources)
		}
		return nil
	}
	return s.respond(seq, add, gone)
}

// addable returns the resources that the next response adds, among the given ones.
func (s *Subscription) addable(resources []*xds.Resource) []*xds.Resource {
	add := s.missing(resources)
	if s.typeURL == xds.SecretType && len(add) > 1 {
		// Envoy refuses a response as a whole. A secret whose file is missing must keep no other from the proxy, and
		// each has pauses of its own.
		s.unsync()
		return add[:1]
	}
	return add
}
