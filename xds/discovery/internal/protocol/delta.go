package protocol

import (
	"maps"
	"slices"
	"strings"

	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery/internal/message"
	"breakwater.dev/xds/internal/resource"
)

// DeltaStream is the part of a gRPC stream that the delta protocol needs. The aggregated and the runtime service both
// have it.
type DeltaStream interface {
	// RecvMsg receives a [message.DeltaRequest].
	RecvMsg(request any) error
	// SendMsg sends a [message.Frame].
	SendMsg(frame any) error
}

// NewDelta returns a stream of incremental xDS.
func NewDelta(stream DeltaStream) Stream { return delta{stream} }

type delta struct{ stream DeltaStream }

func (d delta) Kind() Kind { return Delta }

func (d delta) Recv() (Request, error) {
	m := &message.DeltaRequest{}
	if err := d.stream.RecvMsg(m); err != nil {
		return Request{}, err
	}
	return requestOf(m), nil
}

func (d delta) Send(r *message.Response) error { return d.stream.SendMsg(r.Delta()) }

func requestOf(m *message.DeltaRequest) Request {
	return Request{Node: m.Node, TypeURL: known(m.TypeURL), Nonce: m.Nonce, Refused: m.Refused, change: deltaChange{m}}
}

// known returns our own string for a type that is served, so that the request's is not kept.
func known(typeURL string) string {
	if i := slices.Index(xds.Types, typeURL); i >= 0 {
		return xds.Types[i]
	}
	return strings.Clone(typeURL)
}

// deltaChange adds names to a subscription, and removes names from it.
type deltaChange struct{ *message.DeltaRequest }

func (c deltaChange) size() int { return len(c.Subscribe) + len(c.Versions) }

// all is the name that stands for every resource.
const all = "*"

func (c deltaChange) apply(s *Subscription, first bool) {
	add, drop := c.Subscribe, c.Unsubscribe
	if first {
		// A first request that names nothing means everything, for types that allow it.
		s.wildcard = len(add) == 0
	}
	if len(add)+len(drop) > 0 {
		s.wildcard = (s.wildcard || slices.Contains(add, all)) && !slices.Contains(drop, all)
		isAll := func(name string) bool { return name == all }
		add, drop = slices.DeleteFunc(add, isAll), slices.DeleteFunc(drop, isAll)
		s.names = s.names.Change(s.pool, add, drop)
	}
	if first {
		s.resumed = len(c.Versions) > 0
		s.claim(c.Versions)
	} else {
		s.forget(add) // a proxy that asks for a resource again has forgotten it, and waits for an answer
	}
	if first || len(c.Unsubscribe) > 0 {
		s.forgetUnwanted()
	}
}

// claim notes the resources that the proxy says it has from an earlier stream.
func (s *Subscription) claim(versions []resource.Version) {
	for i := range versions {
		versions[i].Version = claimed(versions[i].Version)
	}
	s.has = s.pool.Claimed(versions)
	s.taken = s.has
}

// responseBytes is how many bytes of resources a response of the delta protocol has at most, unless it has one resource only:
// a proxy reads a response as a whole, and what is more urgent must not wait long behind it.
const responseBytes = 1 << 20

func (s *Subscription) respondDelta(seq uint64, resources *xds.List, removals Removals) *message.Response {
	want := s.wanted(resources)
	if s.refusesWhole() {
		return s.respondWhole(seq, want)
	}
	if again := s.doubtful(want); len(again) > 0 {
		return s.try(seq, batch{add: again, updated: namesOf(again), after: s.has})
	}
	change := want.Since(s.has)
	// A proxy may ask for a resource that does not exist. It gets that answer at once: Envoy holds its answer about
	// clusters back until then, and removals wait for that.
	gone := s.nameless(resources)
	if len(change.Changed) == 0 && len(change.Gone) == 0 && len(gone) == 0 && len(s.again)+len(s.renewed) == 0 && s.greeted() {
		return nil
	}
	b := s.addable(want, change)
	s.addRenewed(want, &b)
	var stay []*xds.Resource
	for _, had := range change.Gone {
		awaited := s.again[had.Name] && s.names.Has(had.Name)
		switch {
		case s.removes(removals, had.Name) || awaited && had.IsClaimed(): // the proxy has it from an earlier stream, and we do not
			gone = append(gone, had.Name)
		case awaited: // it may not go yet, so it is sent again
			stay = append(stay, had)
		}
	}
	b.add = merge(b.add, stay)
	if len(b.add) == 0 && len(gone) == 0 && s.greeted() {
		return nil
	}
	if len(gone) > 0 {
		slices.Sort(gone)
		b.gone, b.after = gone, b.after.With(s.pool, nil, gone)
	}
	if b.after.Same(want) {
		b.after = want
	}
	return s.respond(seq, b)
}

// greeted reports whether the proxy needs no first answer. A proxy that starts waits for it even if there is nothing to say.
func (s *Subscription) greeted() bool { return s.responded || s.has.Len() > 0 || len(s.absent) > 0 }

// addable returns the resources that the next response adds, among the ones that the proxy wants.
func (s *Subscription) addable(want *xds.List, change *resource.Change) batch {
	b := batch{after: s.has}
	switch {
	case len(change.Changed) == 0:
	case s.typeURL == xds.SecretType:
		// Envoy refuses a response as a whole. A secret whose file is missing must keep no other from the proxy, and
		// each has pauses of its own.
		b.add = change.Changed[:1:1]
		b.after = s.has.With(s.pool, b.add, nil)
	default:
		next := want.Batch(s.has, responseBytes)
		b.add, b.updated, b.after = next.Changed, next.Updated, next.After
	}
	if len(s.again) > 0 {
		s.addAgain(want, &b)
	}
	return b
}

// addRenewed adds the resources whose time to live begins again, without their content.
func (s *Subscription) addRenewed(want *xds.List, b *batch) {
	var more []*xds.Resource
	for _, name := range slices.Sorted(maps.Keys(s.renewed)) {
		if r, had := want.Find(name), s.has.Find(name); r != nil && had != nil && had.Version == r.Version && !s.again[name] {
			more = append(more, r)
		}
	}
	s.renewed = nil
	if len(more) == 0 {
		return
	}
	b.add, b.bare = merge(b.add, more), map[string]bool{}
	for _, r := range more {
		b.bare[r.Name] = true
	}
}

// addAgain adds resources that are sent once more though they have not changed, as far as there is room for them.
func (s *Subscription) addAgain(want *xds.List, b *batch) {
	room := responseBytes
	for _, r := range b.add {
		room -= r.Size()
	}
	var more []*xds.Resource
	for _, name := range slices.Sorted(maps.Keys(s.again)) {
		if len(b.add)+len(more) > 0 && (room <= 0 || s.typeURL == xds.SecretType) {
			break
		}
		if r, had := want.Find(name), s.has.Find(name); r != nil && had != nil && had.Version == r.Version {
			more = append(more, r)
			room -= r.Size()
		}
	}
	b.add, b.updated = merge(b.add, more), append(slices.Clip(b.updated), namesOf(more)...)
}

// merge returns two lists of resources as one, sorted by name. Both are sorted and have no name in common. It leaves them alone.
func merge(a, b []*xds.Resource) []*xds.Resource {
	if len(b) == 0 {
		return a
	}
	all := slices.Concat(a, b)
	slices.SortFunc(all, func(a, b *xds.Resource) int { return strings.Compare(a.Name, b.Name) })
	return all
}
