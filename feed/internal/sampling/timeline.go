package sampling

import (
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/wire"
)

// Timeline is how a proxy has sampled recently, oldest period first. The zero value knows nothing of it.
type Timeline []period

// Density says how densely a proxy logs the calls of a breaker, whose key has no node. It is immutable.
type Density interface {
	Sampling(key breaker.Key) wire.Sampling
}

// period is a time in which the sampling of a proxy did not change. It ends where the next one begins.
type period struct {
	from    breaker.Instant
	density Density
}

// remembered is the longest time from the beginning of a request to the arrival of its entry for which the timeline reaches back.
const remembered = 10 * time.Minute

// slack is how far off the beginning of a request, or of a period, may be: the flush interval of Envoy's log, and more.
const slack = 100 * time.Millisecond

// Apply returns the timeline with the period that begins at an instant, in place of those that begin then or later. The receiver must
// not be used afterwards.
func (t Timeline) Apply(from breaker.Instant, density Density) Timeline {
	for len(t) > 0 && t[len(t)-1].from >= from {
		t = t[:len(t)-1]
	}
	first := 0
	for first+1 < len(t) && t[first+1].from < from.Add(-remembered) {
		first++
	}
	return append(t[first:], period{from, density})
}

// Weights says how many calls one logged call represents.
type Weights struct {
	// Passed is for a call that passed without a permit, Rejected for one that the proxy rejected.
	wire.Sampling
	// Sparsest is how many calls that passed there may have been, at most, for each one that was logged.
	Sparsest uint32
}

// Unknown are the weights for a proxy whose layers come from another replica, so that it is not known how densely it logs. Where it may
// leave out calls, only sampled calls may count, each as one. That is too few calls, but their rates and their order are the same as
// among all calls.
var Unknown = Weights{Sampling: wire.Sampling{Passed: 1, Rejected: 1}, Sparsest: 1}

// Weights returns the weights of a breaker's calls that began at an instant. Where the sampling had just changed, or is not
// known, it takes every sampling into account that may have applied. Passed and Rejected are then the smallest: to miss a few
// calls does no harm, to count hundreds that were never made does. Sparsest is then the largest.
func (t Timeline) Weights(began breaker.Instant, key breaker.Key) Weights {
	w := Weights{Sampling: wire.Sampling{Passed: maxOneIn, Rejected: maxOneIn}, Sparsest: 1}
	last := -1
	for _, at := range [...]breaker.Instant{began.Add(-slack), began, began.Add(slack)} {
		i := t.find(at)
		if i >= 0 && i == last {
			continue
		}
		last = i
		s := wire.Sampling{Passed: 1, Rejected: 1}
		if i < 0 {
			w.Sparsest = maxOneIn
		} else {
			s = t[i].density.Sampling(key).All()
		}
		w.Passed, w.Rejected = min(w.Passed, s.Passed), min(w.Rejected, s.Rejected)
		w.Sparsest = max(w.Sparsest, s.Passed)
	}
	return w
}

// ExactSince returns since when the proxy has logged all calls of a breaker. ok is false where it does not do so now.
func (t Timeline) ExactSince(now breaker.Instant, key breaker.Key) (since breaker.Instant, ok bool) {
	for i := t.find(now); i >= 0; i-- {
		if s := t[i].density.Sampling(key); !s.Exact && s.Passed > 1 {
			break
		}
		since, ok = t[i].from, true
	}
	return since, ok
}

// find returns the index of the period that an instant is in; -1: the timeline does not reach back so far.
func (t Timeline) find(at breaker.Instant) int {
	i := len(t) - 1
	for i >= 0 && t[i].from > at {
		i--
	}
	return i
}
