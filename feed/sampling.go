package feed

import (
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/wire"
)

// Share is how much of a breaker's calls is to be logged.
type Share struct {
	Key                 breaker.Key // without a node
	OneIn, RejectsOneIn uint32      // powers of two
}

const (
	// wanted is how many entries each proxy should log of a breaker in a second.
	wanted = wire.SampledPerSecond
	// maxOneIn is as sparse as it gets.
	maxOneIn = 1024
	// patience is how many times in a row fewer entries have to have come before more are
	// logged again.
	patience = 5
)

// rate is how many calls per second there are. It rises at once, and falls slowly.
type rate struct {
	calls uint64 // since the last turn
	value float64
}

func (r *rate) turn(seconds float64) {
	now := float64(r.calls) / seconds
	r.value = max(now, r.value+(now-r.value)/4)
	r.calls = 0
}

// meter counts the calls of one breaker at one proxy.
type meter struct{ through, rejected rate }

// thinning decides on one share, of which the proxies log one call in oneIn.
type thinning struct {
	oneIn uint32
	quiet int
}

// decide takes the rate of calls at the busiest proxy.
func (t *thinning) decide(rate float64) {
	t.oneIn = max(t.oneIn, 1)
	logged := rate / float64(t.oneIn)
	switch {
	case logged > 2*wanted:
		t.quiet = 0
		for t.oneIn < maxOneIn && rate/float64(t.oneIn) > wanted {
			t.oneIn *= 2
		}
	case t.oneIn > 1 && logged < wanted/4.:
		if t.quiet++; t.quiet >= patience {
			t.quiet = 0
			t.oneIn /= 2
		}
	default:
		t.quiet = 0
	}
}

// thinnings are those of a breaker.
type thinnings struct{ through, rejected thinning }

// Sample decides how much is to be logged from now on, and returns that for every breaker
// that proxies have told of. It is to be called about once a second.
func (s *Server) Sample(now breaker.Instant) []Share {
	s.mu.Lock()
	defer s.mu.Unlock()
	seconds := now.Sub(s.turned).Seconds()
	if seconds <= 0 {
		return nil
	}
	s.turned = now
	busiest := map[breaker.Key]meter{}
	for _, n := range s.nodes.byID {
		if n.forgotten(now) {
			s.nodes.forget(n)
			continue
		}
		n.turn(seconds, busiest)
	}
	var all []Share
	for key := range busiest {
		if s.shares[key] == nil {
			s.shares[key] = &thinnings{}
		}
	}
	for key, t := range s.shares {
		m := busiest[key]
		t.through.decide(m.through.value)
		t.rejected.decide(m.rejected.value)
		all = append(all, Share{Key: key, OneIn: t.through.oneIn, RejectsOneIn: t.rejected.oneIn})
	}
	return all
}

// Traffic returns how many calls per second a breaker has had of late, those that proxies
// have rejected among them; 0 where that is not known yet. A key with a node is that of
// one proxy's breaker.
func (s *Server) Traffic(key breaker.Key) float64 {
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

// epoch is how a proxy samples from a time on.
type epoch struct {
	from     breaker.Instant
	sampling map[breaker.Key]wire.Sampling // by key without a node; of others it logs everything
}

// timeline is how a proxy has sampled of late, oldest first.
type timeline []epoch

// remembered is how long calls may be on their way from their beginning to here.
const remembered = 10 * time.Minute

// obey adds what holds from an instant on, in place of what was to hold then.
func (t timeline) obey(from breaker.Instant, sampling map[breaker.Key]wire.Sampling) timeline {
	for len(t) > 0 && t[len(t)-1].from >= from {
		t = t[:len(t)-1]
	}
	first := 0
	for first+1 < len(t) && t[first+1].from < from.Add(-remembered) {
		first++
	}
	return append(t[first:], epoch{from, sampling})
}

// slack is how far the place of a call in time may be off, and with it of a change of how
// it was sampled: the flush interval, and more.
const slack = 100 * time.Millisecond

// sampled is how a call was chosen that was logged: one of so many.
type sampled struct {
	// through is what one that went through stands for, and rejected what one stands for
	// that was rejected.
	through, rejected uint32
	// sparsest is how sparse the sample may have been, at most: so many calls may have gone
	// through unseen before it.
	sparsest uint32
}

// sampled returns how a proxy sampled the calls that began at an instant. Where that has
// just changed, or is not known, it may be one or the other. Then a call stands for as few as it
// may: that a few are missing makes no difference, that one stands for hundreds that it
// does not would.
func (t timeline) sampled(when breaker.Instant, key breaker.Key) sampled {
	s := sampled{through: maxOneIn, rejected: maxOneIn, sparsest: 1}
	last := -1
	for i, at := range [...]breaker.Instant{when.Add(-slack), when, when.Add(slack)} {
		e := t.at(at)
		if i > 0 && e >= 0 && e == last {
			continue
		}
		last = e
		one := wire.Sampling{Passed: 1, Rejected: 1}
		if e >= 0 {
			one = t[e].sampling[key].All()
		}
		s.through, s.rejected = min(s.through, one.Passed), min(s.rejected, one.Rejected)
		s.sparsest = max(s.sparsest, one.Passed)
		if e < 0 {
			s.sparsest = maxOneIn
		}
	}
	return s
}

// at returns the index of what held at an instant; below 0 where that is not known.
func (t timeline) at(when breaker.Instant) int {
	for i := len(t) - 1; i >= 0; i-- {
		if t[i].from <= when {
			return i
		}
	}
	return -1
}
