package main

import (
	"time"

	"github.com/sony/gobreaker/v2"
)

type gobreakerBreaker = gobreaker.CircuitBreaker[struct{}]

// newGobreaker has our window in ten parts, failure rate and consecutive
// failures. It has no slow calls, no lease of a probe, no backoff; it judges on
// failures only, and its wait and its window are read from the wall clock's
// package twice for a call. Execute costs less than the two-step form, which
// allocates a closure for each call.
func newGobreaker(wait time.Duration) *gobreakerBreaker {
	return gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests: 3, Interval: 10 * time.Second, BucketPeriod: time.Second, Timeout: wait,
		ReadyToTrip: func(c gobreaker.Counts) bool {
			return c.ConsecutiveFailures >= 5 || c.Requests >= 10 && c.TotalFailures*2 >= c.Requests
		},
	})
}

func succeed() (struct{}, error) { return struct{}{}, nil }

func gobreakerPeer() peer {
	return peer{
		name: "sony/gobreaker", module: "github.com/sony/gobreaker/v2",
		one: func() loop { return gobreakerCalls(newGobreaker(30 * time.Second)) },
		many: func(d directory) loop {
			return gobreakerMany(byName(d, func() *gobreakerBreaker { return newGobreaker(30 * time.Second) }), d.order)
		},
		open: func() (func(), loop) {
			b := newGobreaker(forLong)
			trip := func() {
				for range 5 {
					// The error says that the breaker refused, or is the one given: it is to fail.
					_, _ = b.Execute(func() (struct{}, error) { return struct{}{}, errFailed })
				}
			}
			return trip, gobreakerCalls(b)
		},
	}
}

func gobreakerCalls(b *gobreakerBreaker) loop {
	return func(n, _ int) (admitted int) {
		for range n {
			if _, err := b.Execute(succeed); err == nil {
				admitted++
			}
		}
		return admitted
	}
}

func gobreakerMany(all map[string]*gobreakerBreaker, order []string) loop {
	return func(n, from int) (admitted int) {
		for i := range n {
			if _, err := all[at(order, from+i)].Execute(succeed); err == nil {
				admitted++
			}
		}
		return admitted
	}
}
