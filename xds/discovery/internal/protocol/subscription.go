package protocol

import (
	"fmt"
	"slices"
	"time"

	"breakwater.dev/wire"
	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery/internal/message"
	"breakwater.dev/xds/internal/resource"
)

// Subscription is one proxy's subscription to one resource type on one stream: the resources that it wants, and the ones
// that it was sent.
//
// At most one response is on its way at a time. Changes that come meanwhile are sent together when it is answered, so a slow
// proxy only delays itself.
type Subscription struct {
	kind    Kind
	typeURL string
	pool    *resource.Pool

	begun    bool // a request was applied
	wildcard bool // the proxy wants every resource of the type
	resumed  bool // the proxy came with resources of an earlier stream
	names    *resource.Names
	// has are the resources that the proxy was sent last, or reported to have. Refused resources stay in it, so that they are
	// not sent again before their pause is over.
	has   *xds.List
	taken *xds.List // the resources that the proxy has taken, or reported to have
	// absent has the names that the proxy asks for, and of which it knows that there is no such resource.
	absent map[string]bool
	// unused has the resources that the proxy is to lose, by name, with the time since when nothing refers to them.
	unused map[string]time.Time
	// again has the names of resources that are sent once more though they have not changed.
	again map[string]bool
	// renewed has the names of resources whose time to live begins again with the next response, if they have not changed.
	renewed map[string]bool
	refused map[string]refusal
	// doubts are groups of resources that are sent apart from all others, since the proxy has refused them together with others,
	// or a while ago: see [Subscription.doubt].
	doubts [][]string
	trying bool // the last response is the first of the doubts
	// unsure has the names of resources that the proxy has refused together with others, and that are gone. If one of them comes back,
	// the proxy may lack it, although it is in has.
	unsure map[string]bool
	// complained reports whether the proxy has refused a resource since it last had taken everything.
	complained bool

	responded bool            // a response was made on this stream
	pending   bool            // the last response awaits its answer
	flight    []*xds.Resource // the resources in the last response
	updated   []string        // the names of those that the proxy had in another version
	removed   []string        // the names in the last response of resources that no longer exist
	bare      map[string]bool // the names of those in the last response without their content
	nonce     string          // the nonce of the last response
	version   string          // the version of the last response, in SotW only; empty: any response differs from it
	ttls      map[string]time.Duration
	ackedAt   time.Time
}

// New returns a subscription to a type for which no request has come yet. Subscriptions with the same pool share what they
// have in common.
func New(kind Kind, typeURL string, pool *resource.Pool) *Subscription {
	return &Subscription{
		kind: kind, typeURL: typeURL, pool: pool,
		absent: map[string]bool{}, again: map[string]bool{}, refused: map[string]refusal{}, unsure: map[string]bool{},
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
func (s *Subscription) Respond(seq uint64, resources *xds.List, removals Removals) *message.Response {
	switch {
	case s.kind == Delta:
		return s.respondDelta(seq, resources, removals)
	case s.typeURL == xds.SecretType:
		return s.respondSecret(seq, resources)
	default:
		return s.respondSotw(seq, resources, removals)
	}
}

// batch is the content of one response.
type batch struct {
	add     []*xds.Resource // sorted
	updated []string        // the names of those that the proxy has in another version
	bare    map[string]bool // the names of those that come without their content
	gone    []string        // sorted
	after   *xds.List       // the resources that the proxy has with it
}

// respond returns a response, and records it as sent.
func (s *Subscription) respond(seq uint64, b batch) *message.Response {
	s.pending, s.responded, s.nonce, s.trying = true, true, fmt.Sprintf("%x", seq), false
	s.has, s.flight, s.updated, s.removed, s.bare = b.after, b.add, b.updated, b.gone, b.bare
	if len(s.again)+len(s.absent) > 0 {
		for _, r := range b.add {
			delete(s.again, r.Name)
			delete(s.absent, r.Name)
		}
	}
	if !s.refusesWhole() {
		s.resolve(b.gone)
	}
	for _, name := range b.gone {
		delete(s.again, name)
		if s.names.Has(name) {
			s.absent[name] = true
		}
	}
	return &message.Response{TypeURL: s.typeURL, Nonce: s.nonce, Resources: b.add, Removed: b.gone, TTLs: s.ttls, Bare: b.bare}
}

// everything reports whether the proxy asks for all resources of the type. For virtual hosts it does that by the name of their
// route configuration.
func (s *Subscription) everything() bool {
	return s.wildcard || s.typeURL == xds.VirtualHostType && s.names.Has(wire.RoutesName)
}

// Wants reports whether the proxy has asked for a resource, by its name or with all others.
func (s *Subscription) Wants(name string) bool { return s.everything() || s.names.Has(name) }

// wanted returns the ones among the resources for which the proxy asks.
func (s *Subscription) wanted(resources *xds.List) *xds.List {
	want := resources
	if !s.everything() {
		want = resources.Named(s.names)
	}
	if s.has != want && s.has.Same(want) {
		// It reported the resources that there are, whose content is known.
		if s.taken == s.has {
			s.taken = want
		}
		s.has = want
	}
	return want
}

// Names returns how many names the proxy asks for.
func (s *Subscription) Names() int { return s.names.Len() }

// Resumed reports whether the proxy came with resources of an earlier stream.
func (s *Subscription) Resumed() bool { return s.resumed }

// Pending reports whether the last response still awaits its answer.
func (s *Subscription) Pending() bool { return s.pending }

// LastACK returns when the proxy last took a response; zero: never on this stream.
func (s *Subscription) LastACK() time.Time { return s.ackedAt }

// Updated returns the names of the resources in the last response that the proxy may have had in another version. The caller
// must not change them.
func (s *Subscription) Updated() []string { return s.updated }

// Taken returns the resources that the proxy has taken, or reported to have, among the given ones or as they were before.
func (s *Subscription) Taken(resources *xds.List) *xds.List {
	s.wanted(resources)
	return s.taken
}

// Sent returns the resources that the proxy was sent last, or reported to have.
func (s *Subscription) Sent() *xds.List { return s.has }

// SetTTLs sets how long the proxy keeps the resources of later responses if they are not sent again or renewed, by name. It keeps
// those that are not in the map for ever. The map must not be changed afterwards.
func (s *Subscription) SetTTLs(ttls map[string]time.Duration) { s.ttls = ttls }

// Renew has the time to live of a resource begin again with the next call of [Subscription.Respond]. In delta, a resource that has not
// changed comes without its content then. A proxy that has dropped it refuses the response, and gets all of it with content, at once.
func (s *Subscription) Renew(name string) {
	switch {
	case s.kind == Sotw:
		s.SendAgain(name)
	case s.renewed == nil:
		s.renewed = map[string]bool{name: true}
	default:
		s.renewed[name] = true
	}
}

// SendAgain makes [Subscription.Respond] send the last resource with a name once more, or that there is none.
func (s *Subscription) SendAgain(name string) {
	s.repeat(name)
	s.version = "" // a response of SotW is sent as a whole
}

// SendAgainIfNamed is [Subscription.SendAgain] for a resource that the proxy asks for by its name.
func (s *Subscription) SendAgainIfNamed(name string) {
	if s.names.Has(name) {
		s.SendAgain(name)
	}
}

func (s *Subscription) repeat(name string) {
	delete(s.absent, name)
	if s.has.Find(name) != nil {
		s.again[name] = true
	}
}

// forget forgets that the proxy has resources.
func (s *Subscription) forget(names []string) {
	had := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return s.has.Find(name) == nil })
	if len(had) > 0 {
		slices.Sort(had)
		had = slices.Compact(had)
		s.has, s.taken = s.has.With(s.pool, nil, had), s.taken.With(s.pool, nil, had)
	}
	for _, name := range names {
		delete(s.absent, name)
		delete(s.again, name)
	}
}

// forgetUnwanted forgets resources that the proxy no longer asks for: the proxy drops them, and asks again if it wants them
// back. It reports whether the proxy had any of them.
func (s *Subscription) forgetUnwanted() (had bool) {
	for name := range s.absent {
		if !s.names.Has(name) {
			delete(s.absent, name)
		}
	}
	if s.everything() {
		return false
	}
	before := s.has.Len()
	s.has, s.taken = s.has.Named(s.names), s.taken.Named(s.names)
	for name := range s.again {
		if !s.names.Has(name) {
			delete(s.again, name)
		}
	}
	for name := range s.refused {
		if !s.names.Has(name) {
			delete(s.refused, name)
		}
	}
	return s.has.Len() != before
}

// Lacks reports whether the proxy wants any of the resources, was not sent it in its present version, and has not
// refused it.
func (s *Subscription) Lacks(resources *xds.List) bool {
	for _, r := range s.wanted(resources).Since(s.has).Changed {
		if !s.Refuses(r.Name) {
			return true
		}
	}
	for name := range s.again {
		if !s.Refuses(name) && resources.Find(name) != nil {
			return true
		}
	}
	return false
}

// nameless returns the names that the proxy asked for, and that are not among the resources, if the proxy does not know that
// yet.
func (s *Subscription) nameless(resources *xds.List) []string {
	if s.names.Len() == 0 || s.typeURL == xds.VirtualHostType {
		return nil
	}
	var none []string
	for _, name := range resources.Missing(s.names) {
		if !s.absent[name] && s.has.Find(name) == nil {
			none = append(none, name)
		}
	}
	return none
}
