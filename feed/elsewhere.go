package feed

import "breakwater.dev/breaker"

// Here says which proxies get their layers from this replica. It is to be called about once a second, if there are other replicas.
// The streams of a proxy may go to several replicas, and only the one that gives it its layers knows how many calls an entry stands
// for. So the logs of other proxies are ended where this is needed, and Envoy begins them again at the next replica.
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

// astray reports whether the log of a stream that began at an instant belongs to another replica; see [sampling.Home].
func (n *node) astray(began, now breaker.Instant) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.home.Astray(began, now)
}
