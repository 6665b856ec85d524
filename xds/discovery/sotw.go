package discovery

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

// sotwStream is the part of a gRPC stream that the state-of-the-world protocol needs.
type sotwStream interface {
	Recv() (*discoveryv3.DiscoveryRequest, error)
	Send(*discoveryv3.DiscoveryResponse) error
}

// sotw speaks state-of-the-world xDS: a response holds everything of its type
// that the proxy asked for.
type sotw struct{ stream sotwStream }

func (w sotw) recv() (request, error) {
	m, err := w.stream.Recv()
	if err != nil {
		return request{}, err
	}
	return request{
		names: len(m.GetResourceNames()),
		node:  m.GetNode(), typeURL: m.GetTypeUrl(), nonce: m.GetResponseNonce(), refused: m.GetErrorDetail(),
		apply: func(s *subscription, first bool) { applySotw(s, m, first) },
	}, nil
}

// applySotw takes on what the proxy wants: every request has the whole list.
func applySotw(s *subscription, m *discoveryv3.DiscoveryRequest, first bool) {
	if first {
		s.version = claimed(m.GetVersionInfo()) // of an earlier stream
		s.resumed = m.GetVersionInfo() != ""
	}
	// Nothing named means everything, until something is.
	if first || len(m.GetResourceNames()) > 0 {
		s.wildcard = len(m.GetResourceNames()) == 0
	}
	names := make(map[string]bool, len(m.GetResourceNames()))
	for _, name := range m.GetResourceNames() {
		if name == "*" {
			s.wildcard = true
			continue
		}
		names[name] = true
	}
	s.names = names
	if s.forgetUnwanted() {
		s.version = "" // asked for again before the next response, it still has to be answered
	}
}

func (w sotw) respond(typeURL string, seq uint64, s *subscription, rs []*xds.Resource, may removable) *response {
	if typeURL == xds.SecretType {
		return w.respondSecret(seq, s, rs)
	}
	var all []*xds.Resource
	for _, r := range rs {
		if s.wants(r.Name) {
			all = append(all, r)
		}
	}
	var gone []string
	for _, name := range s.surplus(rs) {
		if may(name) {
			gone = append(gone, name)
		} else {
			all = append(all, s.sent[name]) // absence is removal here, so it is said again
		}
	}
	version := versionOf(all)
	// The version covers the names as well: a proxy that asks for more gets an answer,
	// one that repeats itself or has just refused this content does not.
	if version == s.version {
		// On a new stream, that is all that tells what the proxy has.
		for _, r := range all {
			s.sent[r.Name] = r
		}
		return nil
	}
	s.fly(seq, all, gone)
	return w.response(typeURL, version, s, all)
}

// respondSecret sends one secret that the proxy lacks. Of this type, what a response does
// not name stays (xDS protocol, "Resource deletion"). Envoy refuses a response as a whole, and
// a secret whose file is missing is to keep no other from the proxy.
func (w sotw) respondSecret(seq uint64, s *subscription, rs []*xds.Resource) *response {
	add := s.missing(rs)
	if len(add) == 0 {
		return nil
	}
	s.fly(seq, add[:1], nil)
	return w.response(xds.SecretType, versionOf(add[:1]), s, add[:1])
}

// response is what was recorded as sent.
func (w sotw) response(typeURL, version string, s *subscription, all []*xds.Resource) *response {
	s.version = version
	m := &discoveryv3.DiscoveryResponse{TypeUrl: typeURL, Nonce: s.nonce, VersionInfo: version}
	size := 0
	for _, r := range all {
		body, err := living(r, s.ttl)
		if err != nil {
			return &response{send: func() error { return err }}
		}
		m.Resources = append(m.Resources, body)
		size += len(r.Body.GetValue())
	}
	return &response{size: size, count: len(all), send: func() error { return w.stream.Send(m) }}
}

// living is a resource as it is sent: one that falls away by itself is wrapped with its
// time to live (xDS protocol, "TTL").
func living(r *xds.Resource, ttl time.Duration) (*anypb.Any, error) {
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

// versionOf hashes names and versions; the order of rs does not matter.
func versionOf(rs []*xds.Resource) string {
	lines := make([]string, len(rs))
	for i, r := range rs {
		lines[i] = r.Name + "\x00" + r.Version + "\x00"
	}
	slices.Sort(lines)
	h := sha256.New()
	for _, line := range lines {
		h.Write([]byte(line))
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}
