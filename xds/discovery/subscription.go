package discovery

import (
	"fmt"
	"math/rand/v2"
	"time"

	"breakwater.dev/xds"
)

// subscription is what one proxy wants and was sent of one resource type.
//
// At most one response is on its way at a time: changes that come meanwhile are
// sent together once it is answered, so a slow proxy costs nothing but its own delay.
type subscription struct {
	wildcard bool
	// resumed tells that the proxy came with resources, of an earlier stream.
	resumed bool
	names   map[string]bool // asked for by name
	// sent holds, by name, what the proxy was sent last, or said that it has. A nil
	// resource says that it was told there is none. What it refused stays here, and
	// that is what keeps it from being sent again before its time.
	sent map[string]*xds.Resource
	// leaving holds since when nothing names what the proxy has and is to lose.
	leaving map[string]time.Time
	// again holds what is to be sent once more, though it has not changed.
	again   map[string]bool
	refused map[string]refusal
	// complained tells that something was refused since all was taken.
	complained bool
	// flight holds the names in the response that awaits its answer.
	flight   []string
	inFlight bool
	nonce    string        // of the last response
	answered bool          // has had a response on this stream
	version  string        // SotW: of the last response
	ttl      time.Duration // of what is sent; 0: it stays
	ackedAt  time.Time
}

// refusal is a proxy's answer to a resource it would not take.
type refusal struct {
	version string
	message string
	nonce   string // of the response it came in
	at      time.Time
	tries   int       // how often this version was refused
	due     time.Time // when it is sent again; zero: it is on its way
}

// What was refused may be taken later without a change of ours: a file was missing, a
// port was taken. It is tried again after firstRetry, and then after twice as long each
// time, up to lastRetry. Each pause is up to a quarter longer or shorter, so that proxies
// that refused together do not come back together.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
)

func retryPause(tries int) time.Duration {
	pause := min(firstRetry<<min(tries-1, 6), lastRetry)
	return pause - pause/4 + rand.N(pause/2+1)
}

// maxVersion is the longest version of a resource that is remembered, in bytes. Ours are shorter.
const maxVersion = 64

// claimed is the version that a proxy says it has of a resource, or "", which is none of ours,
// where it is too long to be one.
func claimed(version string) string {
	if len(version) > maxVersion {
		return ""
	}
	return version
}

func newSubscription() *subscription {
	return &subscription{
		names: map[string]bool{}, sent: map[string]*xds.Resource{},
		again: map[string]bool{}, refused: map[string]refusal{},
	}
}

// wants tells whether the proxy has asked for the resource.
func (s *subscription) wants(name string) bool { return s.wildcard || s.names[name] }

// forgetUnwanted forgets what the proxy gave up: it drops that, and asks again if
// it wants it back. It tells whether the proxy had any of it.
func (s *subscription) forgetUnwanted() (had bool) {
	for name, r := range s.sent {
		// Of what does not exist, only answers to a name are remembered.
		if !s.wants(name) || r == nil && !s.names[name] {
			delete(s.sent, name)
			delete(s.again, name)
			delete(s.refused, name)
			had = had || r != nil
		}
	}
	return had
}

// answer takes the proxy's answer to the response with this nonce: taken, or
// refused with a message. It tells whether it was refused. Answers to
// anything but the last response are stale and change nothing.
func (s *subscription) answer(nonce, message string, now time.Time) (refused bool) {
	if !s.inFlight || nonce != s.nonce {
		return false
	}
	s.inFlight = false
	if message == "" {
		s.ackedAt = now
		s.resolve(s.flight)
		return false
	}
	s.refuse(message, now)
	return true
}

// refuse records that the response on its way was refused, and when its resources are
// tried again: together, since which of them was bad is known to Envoy alone.
func (s *subscription) refuse(message string, now time.Time) {
	s.complained = true
	tries := 1
	for _, name := range s.flight {
		r := refusal{message: message, nonce: s.nonce, at: now, tries: 1}
		if sent := s.sent[name]; sent != nil {
			r.version = sent.Version
		}
		if before, ok := s.refused[name]; ok && before.version == r.version {
			r.tries += before.tries
		}
		s.refused[name] = r
		tries = max(tries, r.tries)
	}
	due := now.Add(retryPause(tries))
	for _, name := range s.flight {
		r := s.refused[name]
		r.due = due
		s.refused[name] = r
	}
}

// retry has what was refused sent again whose pause is over, and returns when the next
// pause will be; zero: nothing waits.
func (s *subscription) retry(now time.Time) (next time.Time) {
	for name, r := range s.refused {
		if !r.due.IsZero() && !now.Before(r.due) {
			r.due = time.Time{}
			s.refused[name] = r
			s.repeat(name)
			s.version = "" // for SotW, whose unit is all of it
		}
	}
	return s.due()
}

// due returns when the next pause is over of what was refused; zero: nothing waits.
func (s *subscription) due() (next time.Time) {
	for _, r := range s.refused {
		if !r.due.IsZero() && (next.IsZero() || r.due.Before(next)) {
			next = r.due
		}
	}
	return next
}

// satisfied tells, once, that the proxy has taken all that it had refused, and what was
// refused together with that.
func (s *subscription) satisfied() bool {
	if !s.complained || s.inFlight || len(s.refused) > 0 || len(s.again) > 0 {
		return false
	}
	s.complained = false
	return true
}

// resolve ends refusals. What was refused together with one of them may have been
// refused because of it, and taken or not: it is sent once more, to find out.
func (s *subscription) resolve(names []string) {
	responses := map[string]bool{}
	for _, name := range names {
		if r, ok := s.refused[name]; ok {
			responses[r.nonce] = true
			delete(s.refused, name)
		}
	}
	for name, r := range s.refused {
		if responses[r.nonce] {
			delete(s.refused, name)
			s.repeat(name)
		}
	}
}

// repeat has what the proxy was told of a name said again: the resource, or that
// there is none.
func (s *subscription) repeat(name string) {
	if s.sent[name] == nil {
		delete(s.sent, name)
		return
	}
	s.again[name] = true
}

// missing returns the resources that the proxy wants and was not sent in their
// present version, and those to be sent again.
func (s *subscription) missing(rs []*xds.Resource) []*xds.Resource {
	var add []*xds.Resource
	for _, r := range rs {
		if !s.wants(r.Name) {
			continue
		}
		if had := s.sent[r.Name]; had == nil || had.Version != r.Version || s.again[r.Name] {
			add = append(add, r)
		}
	}
	return add
}

// surplus returns the names that the proxy was sent and that are no more.
func (s *subscription) surplus(rs []*xds.Resource) []string {
	exists := namesOf(rs)
	var gone []string
	for name, had := range s.sent {
		if had != nil && !exists[name] {
			gone = append(gone, name)
		}
	}
	return gone
}

// absent returns the names that the proxy asked for, that are not there, and of which
// it was sent nothing yet.
func (s *subscription) absent(rs []*xds.Resource) []string {
	exists := namesOf(rs)
	var none []string
	for name := range s.names {
		if _, told := s.sent[name]; !told && !exists[name] {
			none = append(none, name)
		}
	}
	return none
}

func namesOf(rs []*xds.Resource) map[string]bool {
	names := make(map[string]bool, len(rs))
	for _, r := range rs {
		names[r.Name] = true
	}
	return names
}

// fly records that a response with these resources and removals is on its way.
func (s *subscription) fly(seq uint64, add []*xds.Resource, gone []string) {
	s.inFlight, s.answered = true, true
	s.nonce = fmt.Sprintf("%x", seq)
	s.flight = s.flight[:0]
	for _, r := range add {
		s.sent[r.Name] = r
		delete(s.again, r.Name)
		s.flight = append(s.flight, r.Name)
	}
	s.resolve(gone)
	for _, name := range gone {
		delete(s.again, name)
		if s.names[name] {
			s.sent[name] = nil
		} else {
			delete(s.sent, name)
		}
	}
}
