package protocol

import (
	"fmt"
	"time"

	"breakwater.dev/xds"
)

// Subscription is one proxy's subscription to one resource type on one stream: the resources that it wants, and the ones
// that it was sent.
//
// At most one response is on its way at a time. Changes that come meanwhile are sent together when it is answered, so a slow
// proxy only delays itself.
type Subscription struct {
	kind    Kind
	typeURL string

	begun    bool // a request was applied
	wildcard bool // the proxy wants every resource of the type
	resumed  bool // the proxy came with resources of an earlier stream
	names    map[string]bool
	// sent has, by name, the resource that the proxy was sent last, or reported to have. A nil resource means that the
	// proxy knows that there is none. Refused resources stay in the map, so that they are not sent again before their
	// pause is over.
	sent map[string]*xds.Resource
	// unused has the resources that the proxy is to lose, by name, with the time since when nothing refers to them.
	unused map[string]time.Time
	// again has the names of resources that are sent once more though they have not changed.
	again   map[string]bool
	refused map[string]refusal
	synced  *synced // nil: the proxy may be out of sync
	// complained reports whether the proxy has refused a resource since it last had taken everything.
	complained bool

	responded bool     // a response was made on this stream
	pending   bool     // the last response awaits its answer
	flight    []string // the names in the last response
	nonce     string   // the nonce of the last response
	version   string   // the version of the last response, in SotW only; empty: any response differs from it
	ttl       time.Duration
	ackedAt   time.Time
}

// New returns a subscription to a type for which no request has come yet.
func New(kind Kind, typeURL string) *Subscription {
	return &Subscription{
		kind: kind, typeURL: typeURL, names: map[string]bool{}, sent: map[string]*xds.Resource{},
		again: map[string]bool{}, refused: map[string]refusal{},
	}
}

// Apply changes the subscription by a request, and reports whether that is the first request for the type. Call
// [Subscription.Answer] before.
func (s *Subscription) Apply(r Request) (first bool) {
	first, s.begun = !s.begun, true
	r.change.apply(s, first)
	return first
}

// Respond returns a response with the resources that the proxy lacks, and records it as sent. It returns nil if the proxy
// lacks nothing. The proxy gets the given resources of the type. Any other resource that it has is removed if removals
// allow that, and stays otherwise. The last response must have been answered. The nonce is made from seq, which must be a
// new number on the stream.
func (s *Subscription) Respond(seq uint64, resources []*xds.Resource, removals Removals) *Response {
	switch {
	case s.kind == Delta:
		return s.respondDelta(seq, resources, removals)
	case s.typeURL == xds.SecretType:
		return s.respondSecret(seq, resources)
	default:
		return s.respondSotw(seq, resources, removals)
	}
}

// respond returns a response with these resources and removals, and records it as sent.
func (s *Subscription) respond(seq uint64, resources []*xds.Resource, removed []string) *Response {
	s.pending, s.responded, s.nonce = true, true, fmt.Sprintf("%x", seq)
	s.flight = s.flight[:0]
	for _, r := range resources {
		s.sent[r.Name] = r
		delete(s.again, r.Name)
		s.flight = append(s.flight, r.Name)
	}
	s.resolve(removed)
	for _, name := range removed {
		delete(s.again, name)
		if s.names[name] {
			s.sent[name] = nil
		} else {
			delete(s.sent, name)
		}
	}
	return &Response{TypeURL: s.typeURL, Nonce: s.nonce, Resources: resources, Removed: removed, TTL: s.ttl}
}

// Wants reports whether the proxy has asked for a resource, by its name or with all others.
func (s *Subscription) Wants(name string) bool { return s.wildcard || s.names[name] }

// Names returns how many names the proxy asks for.
func (s *Subscription) Names() int { return len(s.names) }

// Resumed reports whether the proxy came with resources of an earlier stream.
func (s *Subscription) Resumed() bool { return s.resumed }

// Pending reports whether the last response still awaits its answer.
func (s *Subscription) Pending() bool { return s.pending }

// LastACK returns when the proxy last took a response; zero: never on this stream.
func (s *Subscription) LastACK() time.Time { return s.ackedAt }

// Flight returns the names of the resources in the last response. The caller must not keep it.
func (s *Subscription) Flight() []string { return s.flight }

// Sent returns the resource that the proxy was sent last under a name. For a resource that the proxy reported to have, only
// the version is known. Sent returns nil if the proxy has no such resource.
func (s *Subscription) Sent(name string) *xds.Resource { return s.sent[name] }

// Recognise adds the content to a resource that the proxy has in the same version from an earlier stream.
func (s *Subscription) Recognise(r *xds.Resource) {
	if had := s.sent[r.Name]; had != nil && had.Version == r.Version {
		s.sent[r.Name] = r
	}
}

// SetTTL sets how long the proxy keeps the resources of later responses if they are not sent again; 0: for ever.
func (s *Subscription) SetTTL(ttl time.Duration) { s.ttl = ttl }

// SendAgain makes [Subscription.Respond] send the last resource with a name once more, or that there is none.
func (s *Subscription) SendAgain(name string) {
	s.repeat(name)
	s.version = "" // a response of SotW is sent as a whole
}

// SendAgainIfNamed is [Subscription.SendAgain] for a resource that the proxy asks for by its name.
func (s *Subscription) SendAgainIfNamed(name string) {
	if s.names[name] {
		s.SendAgain(name)
	}
}

func (s *Subscription) repeat(name string) {
	s.unsync()
	if s.sent[name] == nil {
		delete(s.sent, name)
		return
	}
	s.again[name] = true
}

// forgetUnwanted forgets resources that the proxy no longer asks for: the proxy drops them, and asks again if it wants them
// back. It reports whether the proxy had any of them.
func (s *Subscription) forgetUnwanted() (had bool) {
	for name, r := range s.sent {
		// A resource that does not exist is remembered only if the proxy asks for it by name.
		if !s.Wants(name) || r == nil && !s.names[name] {
			delete(s.sent, name)
			delete(s.again, name)
			delete(s.refused, name)
			had = had || r != nil
		}
	}
	return had
}

// missing returns the resources that the proxy wants and was not sent in their present version, and the ones that are to be
// sent again.
func (s *Subscription) missing(resources []*xds.Resource) []*xds.Resource {
	var add []*xds.Resource
	for _, r := range resources {
		if !s.Wants(r.Name) {
			continue
		}
		if had := s.sent[r.Name]; had == nil || had.Version != r.Version || s.again[r.Name] {
			add = append(add, r)
		}
	}
	return add
}

// Lacks reports whether the proxy wants any of the resources, was not sent it in its present version, and has not
// refused it.
func (s *Subscription) Lacks(resources []*xds.Resource) bool {
	for _, r := range s.missing(resources) {
		if !s.Refuses(r.Name) {
			return true
		}
	}
	return false
}

// surplus returns the names that the proxy was sent and that are not among the resources.
func (s *Subscription) surplus(resources []*xds.Resource) []string {
	exists := namesOf(resources)
	var gone []string
	for name, had := range s.sent {
		if had != nil && !exists[name] {
			gone = append(gone, name)
		}
	}
	return gone
}

// absent returns the names that the proxy asked for, and that are not among the resources, if the proxy does not know that
// yet.
func (s *Subscription) absent(resources []*xds.Resource) []string {
	exists := namesOf(resources)
	var none []string
	for name := range s.names {
		if _, sent := s.sent[name]; !sent && !exists[name] {
			none = append(none, name)
		}
	}
	return none
}

func namesOf(resources []*xds.Resource) map[string]bool {
	names := make(map[string]bool, len(resources))
	for _, r := range resources {
		names[r.Name] = true
	}
	return names
}
