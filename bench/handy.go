package main

import "github.com/streadway/handy/breaker"

// newHandy is a goroutine behind four channels; both steps of a call are a
// rendezvous with it. It has the failure rate and a minimum of 10 calls in 5 s,
// no consecutive failures, no slow calls, and one probe after 1 s. Its setters
// change a copy that the goroutine does not see, so these stay as they are.
func newHandy() breaker.Breaker { return breaker.NewBreaker(0.5) }

func handyPeer() peer {
	return peer{
		name: "streadway/handy", module: "github.com/streadway/handy",
		one: func() loop { return handyCalls(newHandy()) },
		many: func(d directory) loop {
			return handyMany(byName(d, newHandy), d.order)
		},
		open: func() (func(), loop) {
			b := newHandy()
			trip := func() { // again for each round, so that its second begins anew
				b.Success(duration)
				for b.Allow() {
					b.Failure(duration)
				}
			}
			return trip, handyRejected(b)
		},
	}
}

func handyCalls(b breaker.Breaker) loop {
	return func(n, _ int) (admitted int) {
		for range n {
			if b.Allow() {
				b.Success(duration)
				admitted++
			}
		}
		return admitted
	}
}

// handyRejected records no success of the call that its probe may be: it would close the breaker.
func handyRejected(b breaker.Breaker) loop {
	return func(n, _ int) (admitted int) {
		for range n {
			if b.Allow() {
				admitted++
			}
		}
		return admitted
	}
}

func handyMany(all map[string]breaker.Breaker, order []string) loop {
	return func(n, from int) (admitted int) {
		for i := range n {
			if b := all[at(order, from+i)]; b.Allow() {
				b.Success(duration)
				admitted++
			}
		}
		return admitted
	}
}
