package peers

import (
	"github.com/streadway/handy/breaker"

	"breakwater.dev/bench/internal/measure"
)

// newHandy starts a goroutine behind four channels; both steps of a call are a
// rendezvous with it. It has the failure rate and a minimum of 10 calls in 5 s,
// no consecutive failures, no slow calls, and one probe after 1 s. Its setters
// change a copy that the goroutine does not see, so these stay as they are.
func newHandy() breaker.Breaker { return breaker.NewBreaker(0.5) }

func handyPeer() Peer {
	return Peer{
		Name: "streadway/handy", Module: "github.com/streadway/handy",
		One: func() measure.Loop { return handyCalls(newHandy()) },
		Many: func(d Directory) measure.Loop {
			return handyMany(byName(d, newHandy), d.Order)
		},
		Open: func() (func(), measure.Loop) {
			b := newHandy()
			trip := func() { // again for each round, so that the second until its probe begins anew
				b.Success(Duration)
				for b.Allow() {
					b.Failure(Duration)
				}
			}
			return trip, handyRejected(b)
		},
	}
}

func handyCalls(b breaker.Breaker) measure.Loop {
	return func(n, _ int) (admitted int) {
		for range n {
			if b.Allow() {
				b.Success(Duration)
				admitted++
			}
		}
		return admitted
	}
}

// handyRejected records no success of calls that are let through: they are probes, and would close the breaker.
func handyRejected(b breaker.Breaker) measure.Loop {
	return func(n, _ int) (admitted int) {
		for range n {
			if b.Allow() {
				admitted++
			}
		}
		return admitted
	}
}

func handyMany(all map[string]breaker.Breaker, order []string) measure.Loop {
	return func(n, from int) (admitted int) {
		for i := range n {
			if b := all[At(order, from+i)]; b.Allow() {
				b.Success(Duration)
				admitted++
			}
		}
		return admitted
	}
}
