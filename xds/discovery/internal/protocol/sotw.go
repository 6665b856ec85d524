package protocol

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"breakwater.dev/xds"
)

// SotwStream is the part of a gRPC stream that the state-of-the-world protocol needs. The aggregated and the runtime
// service both have it.
type SotwStream interface {
	Recv() (*discoveryv3.DiscoveryRequest, error)
	Send(*discoveryv3.DiscoveryResponse) error
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

func (w sotw) Send(r *Response) error {
	m := &discoveryv3.DiscoveryResponse{TypeUrl: r.TypeURL, Nonce: r.Nonce, VersionInfo: r.Version}
	for _, resource := range r.Resources {
		body, err := withTTL(resource, r.TTL)
		if err != nil {
			return err
		}
		m.Resources = append(m.Resources, body)
	}
	return w.stream.Send(m)
}

// withTTL returns a resource as it is sent: a resource with a time to live is wrapped together with that time (xDS protocol,
// "TTL").
func withTTL(r *xds.Resource, ttl time.Duration) (*anypb.Any, error) {
	if ttl == 0 {
		return r.Body, nil
	}
	wrapped := new(anypb.Any)
	err := wrapped.MarshalFrom(&discoveryv3.Resource{Name: r.Name, Version: r.Version, Resource: r.Body, Ttl: durationpb.New(ttl)})
	if err != nil {
		return nil, fmt.Errorf("wrapping resource %q: %w", r.Name, err)
	}
	return wrapped, nil
}

// sotwChange replaces the names of a subscription: every request of SotW has the whole list.
type sotwChange struct{ *discoveryv3.DiscoveryRequest }

func (c sotwChange) size() int { return len(c.GetResourceNames()) }

func (c sotwChange) apply(s *Subscription, first bool) {
	if first {
		s.version = claimed(c.GetVersionInfo()) // from an earlier stream
		s.resumed = c.GetVersionInfo() != ""
	}
	// A list without names means everything, until a list has names.
	if first || len(c.GetResourceNames()) > 0 {
		s.wildcard = len(c.GetResourceNames()) == 0
	}
	names := make(map[string]bool, len(c.GetResourceNames()))
	for _, name := range c.GetResourceNames() {
		if name == "*" {
			s.wildcard = true
			continue
		}
		names[name] = true
	}
	s.names = names
	if s.forgetUnwanted() {
		s.version = "" // a proxy that asks for it again before the next response must be answered
	}
}

func (s *Subscription) respondSotw(seq uint64, resources []*xds.Resource, removals Removals) *Response {
	var all []*xds.Resource
	for _, r := range resources {
		if s.Wants(r.Name) {
			all = append(all, r)
		}
	}
	var gone []string
	for _, name := range s.surplus(resources) {
		if s.removes(removals, name) {
			gone = append(gone, name)
		} else {
			all = append(all, s.sent[name]) // a resource that a response leaves out is removed, so it is repeated
		}
	}
	version := versionOf(all)
	// The version covers the names as well: a proxy that asks for more resources gets an answer. A proxy that repeats
	// itself, or has just refused this content, gets none.
	if version == s.version {
		// On a new stream only the version shows which resources the proxy has.
		for _, r := range all {
			s.sent[r.Name] = r
		}
		return nil
	}
	return s.respondVersion(seq, version, all, gone)
}

// respondSecret sends one secret that the proxy lacks. The proxy keeps secrets that a response does not name (xDS protocol,
// "Resource deletion"). Envoy refuses a response as a whole, and a secret whose file is missing must keep no other secret
// from the proxy.
func (s *Subscription) respondSecret(seq uint64, resources []*xds.Resource) *Response {
	add := s.missing(resources)
	if len(add) == 0 {
		return nil
	}
	return s.respondVersion(seq, versionOf(add[:1]), add[:1], nil)
}

func (s *Subscription) respondVersion(seq uint64, version string, all []*xds.Resource, gone []string) *Response {
	r := s.respond(seq, all, gone)
	r.Version, r.Removed = version, nil
	s.version = version
	return r
}

// versionOf hashes names and versions; the order of the resources does not matter.
func versionOf(resources []*xds.Resource) string {
	lines := make([]string, len(resources))
	for i, r := range resources {
		lines[i] = r.Name + "\x00" + r.Version + "\x00"
	}
	slices.Sort(lines)
	h := sha256.New()
	for _, line := range lines {
		h.Write([]byte(line))
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}
