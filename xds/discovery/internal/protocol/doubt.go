package protocol

import (
	"slices"

	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery/internal/message"
	"breakwater.dev/xds/internal/resource"
)

// refusesWhole reports whether the proxy takes either all resources of a response or none, so that one bad resource could keep
// others from it. Envoy does so with virtual hosts: it makes one table of all of them.
func (s *Subscription) refusesWhole() bool {
	return s.kind == Delta && s.typeURL == xds.VirtualHostType
}

// respondWhole is respondDelta for a proxy that takes all of a response or none. It sends everything that the proxy lacks in
// one response: Envoy starts to serve with the first virtual hosts that it gets, and each response costs it as much as all of
// them. If the proxy refuses a response, it is sent again in halves, until the bad resources are alone.
func (s *Subscription) respondWhole(seq uint64, want *xds.List) *message.Response {
	change := want.Since(s.has)
	var moot []string // the proxy has what it is to have
	for name := range s.refused {
		if now, had := want.Find(name), s.has.Find(name); now == had || now != nil && had != nil && now.Version == had.Version {
			moot = append(moot, name)
		}
	}
	s.resolve(moot)
	switch {
	case len(change.Changed)+len(change.Gone) == 0:
		s.doubts = nil
		if s.greeted() {
			return nil
		}
		return s.respond(seq, batch{after: s.has})
	case len(s.refused)+len(s.doubts) == 0:
		if b, any := s.only(change, s.unsuspected(change)); any {
			return s.respond(seq, b)
		}
		return s.respond(seq, batch{add: change.Changed, updated: change.Updated, gone: namesOf(change.Gone), after: want})
	}
	for ; len(s.doubts) > 0; s.doubts = s.doubts[1:] {
		if b, any := s.only(change, s.doubts[0]); any {
			return s.try(seq, b)
		}
	}
	var send []string
	for _, part := range s.parts(change) {
		if slices.ContainsFunc(part, func(name string) bool { return !s.rests(name, want.Find(name)) }) {
			send = append(send, part...)
		}
	}
	slices.Sort(send)
	if b, any := s.only(change, send); any {
		return s.respond(seq, b)
	}
	return nil
}

// try is [Subscription.respond] for the first of the doubts.
func (s *Subscription) try(seq uint64, b batch) *message.Response {
	r := s.respond(seq, b)
	s.trying = true
	return r
}

// tried ends the doubts about the resources of the last response, which the proxy has answered.
func (s *Subscription) tried() {
	if s.trying {
		s.doubts = s.doubts[1:]
	}
	if len(s.doubts) == 0 || s.refusesWhole() {
		return
	}
	answered := map[string]bool{} // some of them may have been due meanwhile
	for _, r := range s.flight {
		answered[r.Name] = true
	}
	for i := range s.doubts {
		s.doubts[i] = slices.DeleteFunc(s.doubts[i], func(name string) bool { return answered[name] })
	}
	s.doubts = slices.DeleteFunc(s.doubts, func(names []string) bool { return len(names) == 0 })
}

// unsuspected returns the names in a change without the suspects and what they need, sorted; none: there are no suspects, or no
// others. A proxy that starts begins to serve with its first response even if it refuses that, and knows no virtual host then.
func (s *Subscription) unsuspected(change *resource.Change) (names []string) {
	if !slices.ContainsFunc(change.Changed, (*xds.Resource).IsSuspect) {
		return nil
	}
	suspects := map[string]bool{}
	for _, r := range change.Changed {
		suspects[r.Name] = r.IsSuspect()
	}
	for _, part := range s.parts(change) {
		if !slices.ContainsFunc(part, func(name string) bool { return suspects[name] }) {
			names = append(names, part...)
		}
	}
	slices.Sort(names)
	return names
}

// rests reports whether the proxy has refused to take a resource as it is now, or to lose it if it is nil, and is not to be
// asked again yet.
func (s *Subscription) rests(name string, now *xds.Resource) bool {
	r, refused := s.refused[name]
	if !refused || r.due.IsZero() || (now == nil) != r.removal {
		return false
	}
	return now == nil || now.Version == r.resource.Version
}

// only returns the part of a change that has these names, which are sorted. It reports whether there is any.
func (s *Subscription) only(change *resource.Change, names []string) (b batch, any bool) {
	named := func(name string) bool {
		_, found := slices.BinarySearch(names, name)
		return found
	}
	for _, r := range change.Changed {
		if named(r.Name) {
			b.add = append(b.add, r)
		}
	}
	for _, r := range change.Gone {
		if named(r.Name) {
			b.gone = append(b.gone, r.Name)
		}
	}
	b.after = s.has.With(s.pool, b.add, b.gone)
	return b, len(b.add)+len(b.gone) > 0
}

// doubtful returns resources that are to be sent apart from all others, in the order of their names. It leaves out the ones that
// have changed since the proxy refused them: these are sent as all changes are, even if they change back by then. The ones that are
// gone are sent if they come back before the proxy has lost them.
func (s *Subscription) doubtful(want *xds.List) (again []*xds.Resource) {
	for name := range s.unsure {
		switch {
		case s.has.Find(name) == nil: // it was removed, or the proxy has asked for it again
			delete(s.unsure, name)
		case want.Find(name) != nil:
			delete(s.unsure, name)
			s.repeat(name)
		}
	}
	for ; len(s.doubts) > 0; s.doubts = s.doubts[1:] {
		room := responseBytes
		for i, name := range s.doubts[0] {
			r, had := want.Find(name), s.has.Find(name)
			switch {
			case had == nil:
				continue
			case r == nil:
				s.unsure[name] = true
				continue
			case r.Version != had.Version:
				s.repeat(name)
				continue
			}
			if room -= r.Size(); len(again) > 0 && (room < 0 || s.typeURL == xds.SecretType) {
				s.doubts = slices.Insert(s.doubts, 1, s.doubts[0][i:])
				return again
			}
			again = append(again, r)
		}
		if len(again) > 0 {
			return again
		}
	}
	return nil
}

// fewTries is how many resources that were refused one by one are tried one by one again. A proxy that refuses more than that may
// refuse thousands.
const fewTries = 16

// doubt notes that the proxy has refused a response. It reports whether there are parts of it to try one by one: in SotW there
// are none. One bad resource would keep others from the proxy: Envoy stops at the first endpoints that it refuses, and all
// resources of the response would be shown as refused, and tried again.
func (s *Subscription) doubt() bool {
	if s.kind != Delta {
		return false
	}
	var parts [][]string
	if s.refusesWhole() {
		sent := s.has.Since(s.taken)
		s.has = s.taken // the proxy has taken nothing of it, and lost nothing
		parts = s.parts(sent)
	} else if len(s.flight) <= fewTries || slices.ContainsFunc(s.flight, func(r *xds.Resource) bool { return !s.refusedAs(r) }) {
		for _, r := range s.flight {
			parts = append(parts, []string{r.Name})
		}
	}
	if len(parts) < 2 {
		return false
	}
	join := func(parts [][]string) []string { return slices.Sorted(slices.Values(slices.Concat(parts...))) }
	half := len(parts) / 2
	s.doubts = append([][]string{join(parts[:half]), join(parts[half:])}, s.doubts...)
	return true
}

// refusedAs reports whether the proxy has refused a resource in this version before.
func (s *Subscription) refusedAs(r *xds.Resource) bool {
	before, refused := s.refused[r.Name]
	return refused && before.resource.Version == r.Version
}

// parts returns the names in a change, in parts that the proxy can take one by one. A virtual host that gets a host of another
// one comes with that one, since Envoy refuses a host that two virtual hosts have.
func (s *Subscription) parts(change *resource.Change) [][]string {
	var parts [][]string
	part := map[string]int{} // by name
	add := func(name string) {
		part[name] = len(parts)
		parts = append(parts, []string{name})
	}
	for _, r := range change.Changed {
		add(r.Name)
	}
	for _, r := range change.Gone {
		add(r.Name)
	}
	owners := map[string]string{} // by host, including hosts that the proxy is to get
	own := func(r *xds.Resource) {
		for _, host := range r.Hosts {
			owner, owned := owners[host]
			if owners[host] = r.Name; !owned || part[owner] == part[r.Name] {
				continue
			}
			from, to := part[owner], part[r.Name]
			for _, moved := range parts[from] {
				part[moved] = to
			}
			parts[to], parts[from] = append(parts[to], parts[from]...), nil
		}
	}
	for name := range part {
		if had := s.taken.Find(name); had != nil {
			own(had)
		}
	}
	for _, r := range change.Changed {
		own(r)
	}
	return slices.DeleteFunc(parts, func(names []string) bool { return names == nil })
}
