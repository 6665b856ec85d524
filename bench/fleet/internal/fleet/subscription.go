package fleet

// A proxy has a version of a name, or else one of these.
const (
	absent  = iota // nothing, and it has not asked for the name
	awaited        // nothing, and it has asked for the name
	firstVersion
)

// subscription is a proxy's knowledge of the resources of one type. It belongs to the goroutine of the stream.
type subscription struct {
	typeURL  string
	names    *texts
	wildcard bool
	begun    bool     // it was asked for on the present stream
	have     []uint32 // by the number of the name: absent, awaited, or the number of a version
	answered bool     // a response has come, on any stream
	nonce    string   // the nonce of the last response on the present stream
	version  string   // the version of the last response that was taken; only SotW uses it

	waiting int // names that are awaited
	count   int // names of which the proxy has a version
}

// get returns what the proxy has of a name.
func (s *subscription) get(name uint32) uint32 {
	if int(name) >= len(s.have) {
		return absent
	}
	return s.have[name]
}

// set changes what the proxy has of a name.
func (s *subscription) set(name, to uint32) {
	if int(name) >= len(s.have) {
		grown := make([]uint32, int(name)+1+len(s.have)/8)
		copy(grown, s.have)
		s.have = grown
	}
	s.tally(s.have[name], -1)
	s.tally(to, 1)
	s.have[name] = to
}

func (s *subscription) tally(what uint32, n int) {
	switch {
	case what == awaited:
		s.waiting += n
	case what >= firstVersion:
		s.count += n
	}
}

// remove notes that a resource is gone. A name that was asked for is awaited again.
func (s *subscription) remove(name uint32) {
	switch {
	case s.get(name) == absent:
	case s.wildcard:
		s.set(name, absent)
	default:
		s.set(name, awaited)
	}
}

// asked returns the names that the proxy asks for one by one.
func (s *subscription) asked() []string {
	if s.wildcard {
		return nil
	}
	known, names := s.names.known(), make([]string, 0, s.waiting+s.count)
	for name, what := range s.have {
		if what != absent {
			names = append(names, known[name])
		}
	}
	return names
}

// versions calls yield with the name and version of every resource that the proxy has.
func (s *subscription) versions(versions *texts) func(yield func(name, version string) bool) {
	return func(yield func(name, version string) bool) {
		knownNames, knownVersions := s.names.known(), versions.known()
		for name, what := range s.have {
			if what >= firstVersion && !yield(knownNames[name], knownVersions[what-firstVersion]) {
				return
			}
		}
	}
}
