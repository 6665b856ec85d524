package peers

import (
	"time"

	"github.com/sony/gobreaker/v2"

	"breakwater.dev/bench/internal/measure"
)

type gobreakerBreaker = gobreaker.CircuitBreaker[struct{}]

// newGobreaker returns a breaker with the same rules as ours: a window in ten parts, the
// failure rate and consecutive failures. It has no slow calls, no lease of a probe and no
// backoff. It applies its rules only after failures, and reads the clock twice for each call.
// Execute costs less than the two-step form, which allocates a closure for each call.
func newGobreaker(wait time.Duration) *gobreakerBreaker {
	return gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests: 3, Interval: 10 * time.Second, BucketPeriod: time.Second, Timeout: wait,
		ReadyToTrip: func(c gobreaker.Counts) bool {
			return c.ConsecutiveFailures >= 5 || c.Requests >= 10 && c.TotalFailures*2 >= c.Requests
		},
	})
}

func succeed() (struct{}, error) { return struct{}{}, nil }

func gobreakerPeer() Peer {
	return Peer{
		Name: "sony/gobreaker", Module: "github.com/sony/gobreaker/v2",
		One: func() measure.Loop { return gobreakerCalls(newGobreaker(30 * time.Second)) },
		Many: func(d Directory) measure.Loop {
			return gobreakerMany(byName(d, func() *gobreakerBreaker { return newGobreaker(30 * time.Second) }), d.Order)
		},
		Open: func() (func(), measure.Loop) {
			b := newGobreaker(longWait)
			trip := func() {
				for range 5 {
					// An error is expected: the call fails, or the breaker rejects it.
					_, _ = b.Execute(func() (struct{}, error) { return struct{}{}, errFailed })
				}
			}
			return trip, gobreakerCalls(b)
		},
	}
}

func gobreakerCalls(b *gobreakerBreaker) measure.Loop {
	return func(n, _ int) (admitted int) {
		for range n {
			if _, err := b.Execute(succeed); err == nil {
				admitted++
			}
		}
		return admitted
	}
}

func gobreakerMany(all map[string]*gobreakerBreaker, order []string) measure.Loop {
	return func(n, from int) (admitted int) {
		for i := range n {
			if _, err := all[At(order, from+i)].Execute(succeed); err == nil {
				admitted++
			}
		}
		return admitted
	}
}
