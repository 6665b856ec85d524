package peers

import (
	"time"

	"github.com/go-kratos/aegis/circuitbreaker"
	"github.com/go-kratos/aegis/circuitbreaker/sre"

	"breakwater.dev/bench/internal/measure"
)

// newAegis returns a breaker that rejects calls at random: a share of them
// that grows with the failures, and never all. It has no states, no wait, no
// probes, no consecutive failures and no slow calls. With a success of 0.5
// it begins to reject when half of the calls fail, as our failure rate does.
func newAegis() circuitbreaker.CircuitBreaker {
	return sre.NewBreaker(sre.WithSuccess(0.5), sre.WithRequest(10), sre.WithWindow(10*time.Second), sre.WithBucket(10))
}

// aegisFailures is how many failures trip gives the breaker. It then admits about one in as many calls.
const aegisFailures = 20_000

func aegisPeer() Peer {
	return Peer{
		Name: "go-kratos/aegis", Module: "github.com/go-kratos/aegis",
		One: func() measure.Loop { return aegisCalls(newAegis()) },
		Many: func(d Directory) measure.Loop {
			return aegisMany(byName(d, newAegis), d.Order)
		},
		Open: func() (func(), measure.Loop) {
			b := newAegis()
			trip := func() { // needed before each round: the breaker rejects only while the failures are in its window
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

func aegisCalls(b circuitbreaker.CircuitBreaker) measure.Loop {
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

func aegisMany(all map[string]circuitbreaker.CircuitBreaker, order []string) measure.Loop {
	return func(n, from int) (admitted int) {
		for i := range n {
			if b := all[At(order, from+i)]; b.Allow() == nil {
				b.MarkSuccess()
				admitted++
			}
		}
		return admitted
	}
}
