package peers

import (
	"errors"
	"time"

	"github.com/eapache/go-resiliency/breaker"

	"breakwater.dev/bench/internal/measure"
)

// errFailed is the error of calls that should fail.
var errFailed = errors.New("failed")

func work() error { return nil }

// newResiliency returns a breaker that counts only errors: a success does not change a closed
// breaker, so it is cheap. It has no window, no rate, no slow calls and no
// limit of probes. Errors count together only if they are no further apart than the timeout.
func newResiliency(timeout time.Duration) *breaker.Breaker { return breaker.New(5, 3, timeout) }

func resiliencyPeer() Peer {
	return Peer{
		Name: "eapache/go-resiliency", Module: "github.com/eapache/go-resiliency",
		One: func() measure.Loop { return resiliencyCalls(newResiliency(30 * time.Second)) },
		Many: func(d Directory) measure.Loop {
			return resiliencyMany(byName(d, func() *breaker.Breaker { return newResiliency(30 * time.Second) }), d.Order)
		},
		Open: func() (func(), measure.Loop) {
			b := newResiliency(longWait)
			trip := func() {
				for b.GetState() == breaker.Closed {
					_ = b.Run(func() error { return errFailed }) // an error is expected
				}
			}
			return trip, resiliencyCalls(b)
		},
	}
}

func resiliencyCalls(b *breaker.Breaker) measure.Loop {
	return func(n, _ int) (admitted int) {
		for range n {
			if b.Run(work) == nil {
				admitted++
			}
		}
		return admitted
	}
}

func resiliencyMany(all map[string]*breaker.Breaker, order []string) measure.Loop {
	return func(n, from int) (admitted int) {
		for i := range n {
			if all[At(order, from+i)].Run(work) == nil {
				admitted++
			}
		}
		return admitted
	}
}
