package sampling

import "breakwater.dev/wire"

const (
	// targetRate is how many entries each proxy should log of a breaker in a second, for calls that pass and as many again for
	// calls that it rejects.
	targetRate = wire.SampledPerSecond
	// maxOneIn is the sparsest sampling: one call in 1024 is logged.
	maxOneIn = 1024
	// patience is how many times in a row the rate must be low before sampling becomes denser.
	patience = 5
)

// Sampler decides how densely proxies log the calls of one breaker. The zero value has them log all calls.
type Sampler struct {
	passed, rejected density
	total            float64 // calls that pass in a second, through all proxies
}

// Decide returns the sampling from now on. It takes the rates of the busiest proxy, and should be called about once a second.
func (s *Sampler) Decide(busiest Meter) wire.Sampling {
	s.total = busiest.total
	s.passed.decide(busiest.passed.value)
	s.rejected.decide(busiest.rejected.value)
	return wire.Sampling{Passed: s.passed.oneIn, Rejected: s.rejected.oneIn}
}

// OneIn returns the Passed of the last decision.
func (s *Sampler) OneIn() uint32 { return max(s.passed.oneIn, 1) }

// Rate returns how many calls of the breaker pass in a second, through all proxies, as of the last decision.
func (s *Sampler) Rate() float64 { return s.total }

// density is how densely calls are logged that pass, or calls that are rejected.
type density struct {
	oneIn uint32 // one call in oneIn is logged; a power of two
	low   int    // how many times in a row the rate was low
}

// decide takes the rate of calls at the busiest proxy.
func (d *density) decide(rate float64) {
	d.oneIn = max(d.oneIn, 1)
	logged := rate / float64(d.oneIn)
	switch {
	case logged > 2*targetRate:
		d.low = 0
		for d.oneIn < maxOneIn && rate/float64(d.oneIn) > targetRate {
			d.oneIn *= 2
		}
	case d.oneIn > 1 && logged < targetRate/4.:
		if d.low++; d.low >= patience {
			d.low = 0
			d.oneIn /= 2
		}
	default:
		d.low = 0
	}
}
