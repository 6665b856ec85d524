package feed

import (
	"time"

	"breakwater.dev/breaker"
)

// Here says which proxies get their layers from this replica. It is to be called about once a second, if there are other replicas.
// The streams of a proxy may go to several replicas, and only the one that gives it its layers knows what an entry stands for. So the
// logs of other proxies are ended soon, and Envoy begins them again at the next replica.
func (s *Server) Here(ids map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, n := range s.nodes.byID {
		n.mu.Lock()
		if n.home.Learn(ids[id]) {
			n.timeline = nil
		}
		n.mu.Unlock()
	}
}

// Elsewhere says of which breakers proxies of other replicas may not log all calls. Until it is called, that is so for all. The function
// must be safe for concurrent use.
func (s *Server) Elsewhere(sampled func(breaker.Key) bool) { s.elsewhere.Store(&sampled) }

// mayBeSampled reports whether a proxy that gets its layers from another replica may not log all calls of a breaker.
func (s *Server) mayBeSampled(key breaker.Key) bool {
	sampled := s.elsewhere.Load()
	return sampled == nil || (*sampled)(key)
}

// sampledFor is for how long a proxy may go on to leave out calls after it was told to log all: a proxy that has lost its connection
// keeps its layers for a while.
const sampledFor = 30 * time.Second

// Sampled returns the breakers whose calls the proxies of this replica may not all log, by what [Server.Sample] has decided. Keys have
// no node.
func (s *Server) Sampled(now breaker.Instant) (keys []breaker.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, since := range s.sparse {
		if now.Sub(since) >= sampledFor {
			delete(s.sparse, key)
			continue
		}
		keys = append(keys, key)
	}
	return keys
}

// astray reports whether the log of a stream that began at an instant belongs to another replica.
func (n *node) astray(began, now breaker.Instant) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.home.Astray(began, now)
}
