package main

import (
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
)

// failsafeBuilder makes one of the two kinds; it has no slow calls, no rule of
// consecutive failures beside that of the rate, no generation of outcomes, no
// lease of a probe. Its two steps by hand cost less than an executor.
type failsafeBuilder func() circuitbreaker.Builder[any]

// failsafeCountBuilder judges by the last 100 calls. It reads no clock while it is closed.
func failsafeCountBuilder() circuitbreaker.Builder[any] {
	return circuitbreaker.NewBuilder[any]().WithFailureThresholdRatio(50, 100)
}

// failsafeTimeBuilder judges by the last 10 s, in ten parts, as we do.
func failsafeTimeBuilder() circuitbreaker.Builder[any] {
	return circuitbreaker.NewBuilder[any]().WithFailureRateThreshold(0.5, 10, 10*time.Second)
}

func failsafeCount() peer { return failsafePeer("last 100 calls", failsafeCountBuilder) }
func failsafeTime() peer  { return failsafePeer("last 10 s", failsafeTimeBuilder) }

func (f failsafeBuilder) build(wait time.Duration) circuitbreaker.CircuitBreaker[any] {
	return f().WithDelay(wait).WithSuccessThreshold(3).Build()
}

func failsafePeer(kind string, builder failsafeBuilder) peer {
	return peer{
		name: "failsafe-go", kind: kind, module: "github.com/failsafe-go/failsafe-go",
		one: func() loop { return failsafeCalls(builder.build(30 * time.Second)) },
		many: func(d directory) loop {
			return failsafeMany(byName(d, func() circuitbreaker.CircuitBreaker[any] { return builder.build(30 * time.Second) }), d.order)
		},
		open: func() (func(), loop) {
			b := builder.build(forLong)
			trip := func() {
				for range 100 {
					if b.TryAcquirePermit() {
						b.RecordFailure()
					}
				}
			}
			return trip, failsafeCalls(b)
		},
	}
}

func failsafeCalls(b circuitbreaker.CircuitBreaker[any]) loop {
	return func(n, _ int) (admitted int) {
		for range n {
			if b.TryAcquirePermit() {
				b.RecordSuccess()
				admitted++
			}
		}
		return admitted
	}
}

func failsafeMany(all map[string]circuitbreaker.CircuitBreaker[any], order []string) loop {
	return func(n, from int) (admitted int) {
		for i := range n {
			if b := all[at(order, from+i)]; b.TryAcquirePermit() {
				b.RecordSuccess()
				admitted++
			}
		}
		return admitted
	}
}
