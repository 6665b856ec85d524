package peers

import (
	"github.com/streadway/handy/breaker"

	"breakwater.dev/bench/internal/measure"
)

// newHandy returns a breaker that is a goroutine behind four channels; both steps of a call
// wait for it. It has the failure rate and a minimum of 10 calls in 5 s,
// no consecutive failures, no slow calls, and one probe after 1 s. Its setters
// change a copy that the goroutine does not use, so its settings are the defaults.
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
			trip := func() { // needed before each round, so that the second until the probe begins again
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

// handyRejected does not record a success for admitted calls: they are probes, and would close the breaker.
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
