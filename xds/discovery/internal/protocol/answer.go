package protocol

import (
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"breakwater.dev/xds"
)

// Answer is the part of a request that answers a response.
type Answer struct {
	// Awaited reports whether the request is the first answer to the last response.
	Awaited bool
	// Refused reports whether the answer is a NACK. Names are the resources in the response, and Message is the reason.
	Refused bool
	Names   []string
	Message string
	// Split reports that the proxy refused a response in which some resources may be good. They are sent again at once, in
	// smaller responses. No resource is refused yet.
	Split bool
	// Lapsed reports that the proxy refused a response that renews resources without their content: it has dropped one of
	// them. All resources of the response are sent again at once, with their content, and none of them is refused.
	Lapsed bool
	// Repeated reports whether the proxy gave the same reason when it last refused one of the resources.
	Repeated bool
	// Recovered reports, once, that the proxy has now taken every resource that it had refused.
	Recovered bool
}

// Refusal is a resource that the proxy did not take in the version that it was sent.
type Refusal struct {
	Name, Version, Message string
	At                     time.Time
}

// refusal is a proxy's answer to a resource that it did not take.
type refusal struct {
	resource *xds.Resource
	removal  bool // it has refused to lose the resource
	message  string
	nonce    string // the nonce of the response with the resource
	at       time.Time
	tries    int       // how often this version was refused
	due      time.Time // when it is sent again; zero: it is on its way
}

// A proxy may take a refused resource later without a change of ours: a file was missing, or a port was in use. The resource
// is tried again after FirstRetry, and then after twice the time before, up to LastRetry. Each pause is up to a quarter
// longer or shorter, so that proxies that refused together do not try again together.
const (
	FirstRetry = time.Second
	LastRetry  = time.Minute
)

// retryPause returns how long to wait after a resource was refused for the tries-th time.
func retryPause(tries int) time.Duration {
	pause := min(FirstRetry<<min(tries-1, 6), LastRetry)
	return pause - pause/4 + rand.N(pause/2+1)
}

// Answer records a request's answer to the last response. A request that answers another response is stale, and changes
// nothing.
func (s *Subscription) Answer(r Request, now time.Time) Answer {
	a := Answer{Awaited: s.pending && r.Nonce == s.nonce}
	if a.Awaited {
		s.pending = false
		s.tried()
		if message := r.refusal(); message != "" {
			a.Refused, a.Names, a.Message = true, namesOf(s.flight), message
			a.Repeated = slices.ContainsFunc(a.Names, func(name string) bool { return s.refused[name].message == message })
			if len(s.bare) > 0 {
				a.Lapsed = true
				for _, name := range a.Names {
					s.repeat(name)
				}
				return a
			}
			if a.Split = s.doubt(); !a.Split {
				s.refuse(message, now)
			}
			return a
		}
		s.ackedAt = now
		s.took()
	}
	a.Recovered = s.recovered()
	return a
}

// took notes that the proxy has taken the last response.
func (s *Subscription) took() {
	if !s.refusesWhole() || len(s.refused) == 0 && len(s.again) == 0 {
		s.taken = s.has
	} else {
		s.taken = s.taken.With(s.pool, s.flight, s.removed)
	}
	if len(s.refused) > 0 {
		s.resolve(append(namesOf(s.flight), s.removed...))
	}
}

func namesOf(resources []*xds.Resource) []string {
	names := make([]string, len(resources))
	for i, r := range resources {
		names[i] = r.Name
	}
	return names
}

// refuse records that the last response was refused, and when its resources are tried again: together, since in SotW only
// Envoy knows which of them was bad. A resource that the proxy no longer wants is left out, since nothing would end
// its refusal. So is one that the proxy has asked for again, which is sent in any case.
func (s *Subscription) refuse(message string, now time.Time) {
	tries, replaced := 1, map[string]bool{}
	var refused []string
	add := func(sent *xds.Resource, removal bool) {
		r := refusal{resource: sent, removal: removal, message: message, nonce: s.nonce, at: now, tries: 1}
		if before, ok := s.refused[sent.Name]; ok && before.resource.Version == sent.Version && before.removal == removal {
			r.tries += before.tries
		} else if ok && s.refusesWhole() {
			replaced[before.nonce] = true // the resources that were refused with it may be good without it
		}
		s.refused[sent.Name] = r
		refused = append(refused, sent.Name)
		tries = max(tries, r.tries)
	}
	for _, r := range s.flight {
		if s.Wants(r.Name) && (s.refusesWhole() || s.has.Find(r.Name) != nil) {
			add(r, false)
		}
		if s.refusesWhole() {
			r.Suspect()
		}
	}
	for _, name := range s.removed {
		if had := s.has.Find(name); s.refusesWhole() && had != nil {
			add(had, true)
		}
	}
	s.complained = s.complained || len(refused) > 0
	due := now.Add(retryPause(tries))
	for _, name := range refused {
		r := s.refused[name]
		r.due = due
		s.refused[name] = r
	}
	s.retryThose(replaced)
}

// Retry makes [Subscription.Respond] send refused resources again whose pause is over. It returns when the next pause is
// over; zero: nothing waits.
func (s *Subscription) Retry(now time.Time) (next time.Time) {
	var due []string
	for name, r := range s.refused {
		if !r.due.IsZero() && !now.Before(r.due) {
			r.due = time.Time{}
			s.refused[name] = r
			due = append(due, name)
		}
	}
	switch {
	case len(due) == 0 || s.refusesWhole():
	case s.kind == Delta:
		slices.Sort(due)
		s.doubts = append(s.doubts, due) // apart from all others, which they must not keep from the proxy
	default:
		for _, name := range due {
			s.SendAgain(name)
		}
	}
	return s.Due()
}

// Due returns when the next pause after a refusal is over; zero: nothing waits.
func (s *Subscription) Due() (next time.Time) {
	for _, r := range s.refused {
		if !r.due.IsZero() && (next.IsZero() || r.due.Before(next)) {
			next = r.due
		}
	}
	return next
}

// recovered reports, once, whether the proxy has taken every resource that it had refused.
func (s *Subscription) recovered() bool {
	if !s.complained || s.pending || len(s.refused) > 0 || len(s.again) > 0 || len(s.doubts) > 0 {
		return false
	}
	s.complained = false
	return true
}

// resolve ends the refusals of resources that were taken or removed. Each of them may have been the reason why other
// resources in the same response were refused. The others are sent once more, to find out.
func (s *Subscription) resolve(names []string) {
	if len(s.refused) == 0 {
		return
	}
	nonces := map[string]bool{}
	for _, name := range names {
		if r, ok := s.refused[name]; ok {
			nonces[r.nonce] = true
			delete(s.refused, name)
		}
	}
	s.retryThose(nonces)
}

// retryThose has the refused resources of responses sent once more, without a pause.
func (s *Subscription) retryThose(nonces map[string]bool) {
	for name, r := range s.refused {
		switch {
		case !nonces[r.nonce]:
		case s.refusesWhole():
			r.due = time.Time{}
			s.refused[name] = r
		case s.kind == Delta: // it was refused alone before
		default:
			delete(s.refused, name)
			s.repeat(name)
		}
	}
}

// Refuses reports whether the proxy refused a resource, and has not taken it since.
func (s *Subscription) Refuses(name string) bool {
	_, refused := s.refused[name]
	return refused
}

// Refusals returns all resources that the proxy refused and has not taken since, by name.
func (s *Subscription) Refusals() []Refusal {
	var all []Refusal
	for _, name := range slices.Sorted(maps.Keys(s.refused)) {
		r := s.refused[name]
		all = append(all, Refusal{Name: name, Version: r.resource.Version, Message: r.message, At: r.at})
	}
	return all
}

// RefusesAny reports whether the proxy refuses any resource, or has just refused a response that is tried again in parts.
func (s *Subscription) RefusesAny() bool { return len(s.refused) > 0 || len(s.doubts) > 0 }

// Accepted returns how many resources the proxy was sent, or reported to have, and has not refused.
func (s *Subscription) Accepted() int {
	n := s.has.Len()
	for name := range s.refused {
		if s.has.Find(name) != nil {
			n--
		}
	}
	return n
}
