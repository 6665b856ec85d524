package feed

import (
	"breakwater.dev/breaker"
	"breakwater.dev/feed/internal/sampling"
	"breakwater.dev/feed/internal/suspects"
	"breakwater.dev/wire"
)

// Sample decides how densely proxies are to log from now on, and returns that for every breaker whose calls they
// have logged. Keys have no node: it is the same for all proxies. It is to be called about once a second; where no time has passed
// since the last call it returns nil.
func (s *Server) Sample(now breaker.Instant) map[breaker.Key]wire.Sampling {
	for _, x := range s.suspects.All() {
		x.Settle(s.options.Decider, now)
	}
	decided, acquitted := s.decide(now)
	for _, x := range acquitted {
		x.Close(s.options.Decider, now)
	}
	return decided
}

// decide is [Server.Sample] without its reports. It also returns the breakers whose calls are sampled again.
func (s *Server) decide(now breaker.Instant) (decided map[breaker.Key]wire.Sampling, acquitted []*suspects.Suspect) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seconds := now.Sub(s.sampledAt).Seconds()
	if seconds <= 0 {
		return nil, nil
	}
	s.sampledAt = now
	acquitted = s.suspects.Remove(now, sampling.Overloaded(s.load(s.suspects.Keys())))
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
	decided = make(map[breaker.Key]wire.Sampling, len(s.samplers))
	exact := s.suspects.Keys()
	for key, of := range s.samplers {
		one := of.Decide(busiest[key])
		one.Exact = exact[key]
		decided[key] = one
	}
	return decided, acquitted
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
