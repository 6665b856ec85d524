package protocol

import (
	"slices"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery/internal/message"
	"breakwater.dev/xds/internal/resource"
)

// SotwStream is the part of a gRPC stream that the state-of-the-world protocol needs. The aggregated and the runtime
// service both have it.
type SotwStream interface {
	Recv() (*discoveryv3.DiscoveryRequest, error)
	// SendMsg sends a [message.Frame].
	SendMsg(frame any) error
}

// NewSotw returns a stream of state-of-the-world xDS.
func NewSotw(stream SotwStream) Stream { return sotw{stream} }

type sotw struct{ stream SotwStream }

func (w sotw) Kind() Kind { return Sotw }

func (w sotw) Recv() (Request, error) {
	m, err := w.stream.Recv()
	if err != nil {
		return Request{}, err
	}
	return Request{
		Node: m.GetNode(), TypeURL: m.GetTypeUrl(), Nonce: m.GetResponseNonce(), Refused: m.GetErrorDetail(), change: sotwChange{m},
	}, nil
}

func (w sotw) Send(r *message.Response) error { return w.stream.SendMsg(r.Sotw()) }

// sotwChange replaces the names of a subscription: every request of SotW has the whole list.
type sotwChange struct{ *discoveryv3.DiscoveryRequest }

func (c sotwChange) size() int { return len(c.GetResourceNames()) }

func (c sotwChange) apply(s *Subscription, first bool) {
	names := c.GetResourceNames()
	if first {
		s.version = claimed(c.GetVersionInfo()) // from an earlier stream
		s.resumed = c.GetVersionInfo() != ""
	}
	// A list without names means everything, until a list has names.
	if first || len(names) > 0 {
		s.wildcard = len(names) == 0
	}
	if slices.Contains(names, all) {
		s.wildcard = true
		names = slices.DeleteFunc(names, func(name string) bool { return name == all })
	}
	var none *resource.Names
	s.names = none.Change(s.pool, names, nil)
	if s.forgetUnwanted() {
		s.version = "" // a proxy that asks for it again before the next response must be answered
	}
}

func (s *Subscription) respondSotw(seq uint64, resources *xds.List, removals Removals) *message.Response {
	want := s.wanted(resources)
	change := want.Since(s.has)
	b := batch{after: want, updated: change.Updated}
	if len(change.Gone) > 0 {
		var kept []*xds.Resource
		for _, r := range change.Gone {
			if s.removes(removals, r.Name) {
				b.gone = append(b.gone, r.Name)
			} else {
				kept = append(kept, r) // a resource that a response leaves out is removed, so it is repeated
			}
		}
		b.after = want.With(s.pool, kept, nil)
	}
	version := b.after.Version()
	// The version covers the names as well: a proxy that asks for more resources gets an answer. A proxy that repeats
	// itself, or has just refused this content, gets none.
	if version == s.version {
		// On a new stream only the version shows which resources the proxy has.
		s.has = b.after
		if !s.pending && len(s.refused) == 0 {
			s.taken = s.has
		}
		return nil
	}
	b.add = b.after.All()
	for name := range s.again {
		b.updated = append(slices.Clip(b.updated), name)
	}
	for name := range s.refused { // the proxy has them as they were before, and the response repeats them
		b.updated = append(slices.Clip(b.updated), name)
	}
	if s.resumed && !s.responded {
		for _, r := range b.add {
			b.updated = append(b.updated, r.Name) // which of them the proxy has from an earlier stream is not known
		}
	}
	return s.respondVersion(seq, version, b)
}

// respondSecret sends one secret that the proxy lacks. The proxy keeps secrets that a response does not name (xDS protocol,
// "Resource deletion"). Envoy refuses a response as a whole, and a secret whose file is missing must keep no other secret
// from the proxy.
func (s *Subscription) respondSecret(seq uint64, resources *xds.List) *message.Response {
	want := s.wanted(resources)
	b := s.addable(want, want.Since(s.has))
	if len(b.add) == 0 {
		return nil
	}
	var none *xds.List
	return s.respondVersion(seq, none.With(s.pool, b.add, nil).Version(), b)
}

func (s *Subscription) respondVersion(seq uint64, version string, b batch) *message.Response {
	r := s.respond(seq, b)
	r.Version, r.Removed = version, nil
	s.version = version
	return r
}
