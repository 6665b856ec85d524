package discovery

import (
	"slices"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"breakwater.dev/xds"
)

// deltaStream is the part of a gRPC stream that the delta protocol needs; the
// aggregated and the runtime service both have it.
type deltaStream interface {
	Recv() (*discoveryv3.DeltaDiscoveryRequest, error)
	Send(*discoveryv3.DeltaDiscoveryResponse) error
}

// delta speaks incremental xDS: only what changed is sent.
type delta struct{ stream deltaStream }

func (d delta) recv() (request, error) {
	m, err := d.stream.Recv()
	if err != nil {
		return request{}, err
	}
	return request{
		names: len(m.GetResourceNamesSubscribe()) + len(m.GetInitialResourceVersions()),
		node:  m.GetNode(), typeURL: m.GetTypeUrl(), nonce: m.GetResponseNonce(), refused: m.GetErrorDetail(),
		apply: func(s *subscription, first bool) { applyDelta(s, m, first) },
	}, nil
}

// applyDelta takes on a change of what the proxy wants and has.
func applyDelta(s *subscription, m *discoveryv3.DeltaDiscoveryRequest, first bool) {
	if first {
		s.resumed = len(m.GetInitialResourceVersions()) > 0
		for name, version := range m.GetInitialResourceVersions() {
			s.sent[name] = &xds.Resource{Name: name, Version: claimed(version)}
		}
		// A first request that names nothing means everything, for types that allow it.
		s.wildcard = len(m.GetResourceNamesSubscribe()) == 0
	}
	for _, name := range m.GetResourceNamesSubscribe() {
		if name == "*" {
			s.wildcard = true
			continue
		}
		s.names[name] = true
		// Who asks for a resource again has forgotten it and waits for an answer.
		if !first {
			delete(s.sent, name)
		}
	}
	for _, name := range m.GetResourceNamesUnsubscribe() {
		if name == "*" {
			s.wildcard = false
			continue
		}
		delete(s.names, name)
	}
	if len(m.GetResourceNamesUnsubscribe()) > 0 {
		s.forgetUnwanted()
	}
}

func (d delta) respond(typeURL string, seq uint64, s *subscription, rs []*xds.Resource, may removable) *response {
	add := s.missing(rs)
	if typeURL == xds.SecretType && len(add) > 1 {
		// Envoy refuses a response as a whole. One whose file is missing is to keep no
		// other from the proxy, and each has pauses of its own.
		add = add[:1]
	}
	// Who waits for what never was is told so at once: Envoy holds its answer about
	// clusters back for that, and removals wait for the answer.
	gone := s.absent(rs)
	for _, name := range s.surplus(rs) {
		had := s.sent[name]
		awaited := s.again[name] && s.names[name]
		switch {
		case may(name) || awaited && had.Body == nil: // of an earlier stream: we never had it
			gone = append(gone, name)
		case awaited: // may not go yet, so it is said again
			add = append(add, had)
		}
	}
	slices.Sort(gone)
	// A proxy that starts waits for its first answer even if there is nothing to say.
	greet := !s.answered && len(s.sent) == 0
	if len(add) == 0 && len(gone) == 0 && !greet {
		return nil
	}
	s.fly(seq, add, gone)
	m := &discoveryv3.DeltaDiscoveryResponse{TypeUrl: typeURL, Nonce: s.nonce, RemovedResources: gone}
	size := 0
	for _, r := range add {
		wrapped := &discoveryv3.Resource{Name: r.Name, Version: r.Version, Resource: r.Body}
		if s.ttl > 0 {
			wrapped.Ttl = durationpb.New(s.ttl)
		}
		m.Resources = append(m.Resources, wrapped)
		size += len(r.Body.GetValue())
	}
	return &response{size: size, count: len(add), send: func() error { return d.stream.Send(m) }}
}
