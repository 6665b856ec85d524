package feed

import (
	"breakwater.dev/breaker"
	"breakwater.dev/feed/internal/sampling"
	"breakwater.dev/wire"
)

// Sample decides how densely proxies are to log from now on, and returns that for every breaker whose calls they
// have logged. Keys have no node: it is the same for all proxies. It is to be called about once a second; where no time has passed
// since the last call it returns nil.
func (s *Server) Sample(now breaker.Instant) map[breaker.Key]wire.Sampling {
	s.mu.Lock()
	defer s.mu.Unlock()
	seconds := now.Sub(s.sampledAt).Seconds()
	if seconds <= 0 {
		return nil
	}
	s.sampledAt = now
	busiest := map[breaker.Key]sampling.Meter{}
	for _, n := range s.nodes.byID {
		if n.expired(now) {
			s.nodes.remove(n)
			continue
		}
		n.updateRates(seconds, busiest)
	}
	for key := range busiest {
		if s.samplers[key] == nil {
			s.samplers[key] = &sampling.Sampler{}
		}
	}
	decided := make(map[breaker.Key]wire.Sampling, len(s.samplers))
	for key, of := range s.samplers {
		decided[key] = of.Decide(busiest[key])
	}
	return decided
}

// Rate returns how many calls per second a breaker has had in the last seconds, including rejected ones; 0 where
// that is not known. With a node in the key it is the rate at that proxy, else the sum over all proxies.
func (s *Server) Rate(key breaker.Key) float64 {
	node := key.Node
	key.Node = ""
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := 0.
	for id, n := range s.nodes.byID {
		if node == "" || node == id {
			sum += n.traffic(key)
		}
	}
	return sum
}
