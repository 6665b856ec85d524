package peers

import (
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"breakwater.dev/bench/internal/measure"
)

// failsafeBuilder returns the builder of one of two kinds of breaker. They have no slow calls, no rule for
// consecutive failures beside the failure rate, no generations of outcomes, and no
// leases of probes. The loops acquire and record by hand, which costs less than an executor.
type failsafeBuilder func() circuitbreaker.Builder[any]

// failsafeCountBuilder makes breakers that use the last 100 calls. They read no clock while they are closed.
func failsafeCountBuilder() circuitbreaker.Builder[any] {
	return circuitbreaker.NewBuilder[any]().WithFailureThresholdRatio(50, 100)
}

// failsafeTimeBuilder makes breakers that use the last 10 s, in ten parts, as ours do.
func failsafeTimeBuilder() circuitbreaker.Builder[any] {
	return circuitbreaker.NewBuilder[any]().WithFailureRateThreshold(0.5, 10, 10*time.Second)
}

func failsafeCount() Peer { return failsafePeer("last 100 calls", failsafeCountBuilder) }
func failsafeTime() Peer  { return failsafePeer("last 10 s", failsafeTimeBuilder) }

func (f failsafeBuilder) build(wait time.Duration) circuitbreaker.CircuitBreaker[any] {
	return f().WithDelay(wait).WithSuccessThreshold(3).Build()
}

func failsafePeer(kind string, builder failsafeBuilder) Peer {
	return Peer{
		Name: "failsafe-go", Kind: kind, Module: "github.com/failsafe-go/failsafe-go",
		One: func() measure.Loop { return failsafeCalls(builder.build(30 * time.Second)) },
		Many: func(d Directory) measure.Loop {
			return failsafeMany(byName(d, func() circuitbreaker.CircuitBreaker[any] { return builder.build(30 * time.Second) }), d.Order)
		},
		Open: func() (func(), measure.Loop) {
			b := builder.build(longWait)
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

func failsafeCalls(b circuitbreaker.CircuitBreaker[any]) measure.Loop {
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

func failsafeMany(all map[string]circuitbreaker.CircuitBreaker[any], order []string) measure.Loop {
	return func(n, from int) (admitted int) {
		for i := range n {
			if b := all[At(order, from+i)]; b.TryAcquirePermit() {
				b.RecordSuccess()
				admitted++
			}
		}
		return admitted
	}
}
