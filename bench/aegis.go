package main

import (
	"time"

	"github.com/go-kratos/aegis/circuitbreaker"
	"github.com/go-kratos/aegis/circuitbreaker/sre"
)

// newAegis throttles by chance: of too many failures it rejects a share of the
// calls that grows with them, and never all. It has no states, no waiting, no
// probes, no consecutive failures and no slow calls. With a success of 0.5
// it begins to reject where half of the calls fail, as our failure rate does.
func newAegis() circuitbreaker.CircuitBreaker {
	return sre.NewBreaker(sre.WithSuccess(0.5), sre.WithRequest(10), sre.WithWindow(10*time.Second), sre.WithBucket(10))
}

// aegisFailures make it reject all but one of so many calls.
const aegisFailures = 20_000

func aegisPeer() peer {
	return peer{
		name: "go-kratos/aegis", module: "github.com/go-kratos/aegis",
		one: func() loop { return aegisCalls(newAegis()) },
		many: func(d directory) loop {
			return aegisMany(byName(d, newAegis), d.order)
		},
		open: func() (func(), loop) {
			b := newAegis()
			trip := func() { // again for each round: failures leave the window, and with them goes the rejecting
				for range aegisFailures {
					b.MarkFailed()
				}
			}
			rejected := func(n, _ int) (admitted int) {
				for range n {
					if b.Allow() == nil {
						admitted++
					}
				}
				return admitted
			}
			return trip, rejected
		},
	}
}

func aegisCalls(b circuitbreaker.CircuitBreaker) loop {
	return func(n, _ int) (admitted int) {
		for range n {
			if b.Allow() == nil {
				b.MarkSuccess()
				admitted++
			}
		}
		return admitted
	}
}

func aegisMany(all map[string]circuitbreaker.CircuitBreaker, order []string) loop {
	return func(n, from int) (admitted int) {
		for i := range n {
			if b := all[at(order, from+i)]; b.Allow() == nil {
				b.MarkSuccess()
				admitted++
			}
		}
		return admitted
	}
}
