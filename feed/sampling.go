package feed

import (
	"breakwater.dev/breaker"
	"breakwater.dev/wire"
)

const (
	// targetRate is how many entries each proxy should log of a breaker in a second, for calls that pass and as many again for
	// calls that it rejects.
	targetRate = wire.SampledPerSecond
	// maxOneIn is the sparsest sampling: one call in 1024 is logged.
	maxOneIn = 1024
	// patience is how many times in a row the rate must be low before sampling becomes denser.
	patience = 5
)

// rate is a number of calls per second. It rises at once, and falls slowly.
type rate struct {
	calls uint64 // since the last update
	value float64
}

// update computes the rate from the calls in the seconds since the last update.
func (r *rate) update(seconds float64) {
	now := float64(r.calls) / seconds
	r.value = max(now, r.value+(now-r.value)/4)
	r.calls = 0
}

// meter has the rates of one breaker at one proxy.
type meter struct{ passed, rejected rate }

// sampler decides how densely proxies log the calls of one breaker that pass, or those that are rejected.
type sampler struct {
	oneIn uint32 // one call in oneIn is logged; a power of two
	low   int    // how many times in a row the rate was low
}

// decide takes the rate of calls at the busiest proxy.
func (s *sampler) decide(rate float64) {
	s.oneIn = max(s.oneIn, 1)
	logged := rate / float64(s.oneIn)
	switch {
	case logged > 2*targetRate:
		s.low = 0
		for s.oneIn < maxOneIn && rate/float64(s.oneIn) > targetRate {
			s.oneIn *= 2
		}
	case s.oneIn > 1 && logged < targetRate/4.:
		if s.low++; s.low >= patience {
			s.low = 0
			s.oneIn /= 2
		}
	default:
		s.low = 0
	}
}

// samplers are the two of a breaker.
type samplers struct{ passed, rejected sampler }

func (s *samplers) decide(m meter) wire.Sampling {
	s.passed.decide(m.passed.value)
	s.rejected.decide(m.rejected.value)
	return wire.Sampling{Passed: s.passed.oneIn, Rejected: s.rejected.oneIn}
}

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
	busiest := map[breaker.Key]meter{}
	for _, n := range s.nodes.byID {
		if n.expired(now) {
			s.nodes.remove(n)
			continue
		}
		n.updateRates(seconds, busiest)
	}
	for key := range busiest {
		if s.samplers[key] == nil {
			s.samplers[key] = &samplers{}
		}
	}
	sampling := make(map[breaker.Key]wire.Sampling, len(s.samplers))
	for key, of := range s.samplers {
		sampling[key] = of.decide(busiest[key])
	}
	return sampling
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
