package peers

import (
	"runtime"
	"time"

	"github.com/afex/hystrix-go/hystrix"

	"breakwater.dev/bench/internal/measure"
)

// hystrixCircuit returns the circuit of a name from hystrix's own registry, where
// it stays until the process ends. Its window of 10 s in ten parts is fixed. It
// has the failure rate, the minimum of calls, and one probe at a time. It has no consecutive
// failures and no slow calls (its deadline makes a call fail).
//
// The loops do not use hystrix.Do, because it starts two goroutines for each call to
// enforce a deadline and a limit of concurrency, which no other peer has.
// AllowRequest and ReportEvent are public and do the same as the other peers.
func hystrixCircuit(name string) *hystrix.CircuitBreaker {
	hystrix.ConfigureCommand(name, hystrix.CommandConfig{
		RequestVolumeThreshold: 10, ErrorPercentThreshold: 50, SleepWindow: int(longWait / time.Millisecond),
	})
	c, _, err := hystrix.GetCircuit(name)
	if err != nil {
		panic(err) // GetCircuit never returns an error
	}
	return c
}

// hystrixEvent is an event in the form that hystrix needs. It is made once, so that calls do not allocate it.
type hystrixEvent []string

// report records an event. Outcomes go through a queue to a goroutine of the
// circuit, and are dropped when the queue is full. A dropped outcome is not recorded, so
// report tries again until it is.
func (e hystrixEvent) report(c *hystrix.CircuitBreaker, start time.Time) {
	for c.ReportEvent(e, start, Duration) != nil {
		runtime.Gosched()
	}
}

func hystrixPeer() Peer {
	success, failure := hystrixEvent{"success"}, hystrixEvent{"failure"}
	return Peer{
		Name: "afex/hystrix-go", Module: "github.com/afex/hystrix-go", Lingers: true,
		One: func() measure.Loop { return hystrixCalls(hystrixCircuit("one"), success) },
		Many: func(d Directory) measure.Loop {
			for _, name := range d.Names {
				hystrixCircuit(name)
			}
			return hystrixMany(d.Order, success)
		},
		Open: func() (func(), measure.Loop) {
			c := hystrixCircuit("open")
			trip := func() {
				for c.AllowRequest() {
					failure.report(c, time.Now())
				}
			}
			return trip, hystrixCalls(c, success)
		},
	}
}

func hystrixCalls(c *hystrix.CircuitBreaker, success hystrixEvent) measure.Loop {
	return func(n, _ int) (admitted int) {
		for range n {
			if start := time.Now(); c.AllowRequest() {
				success.report(c, start)
				admitted++
			}
		}
		return admitted
	}
}

// hystrixMany finds circuits in hystrix's own registry, which must have them already.
func hystrixMany(order []string, success hystrixEvent) measure.Loop {
	return func(n, from int) (admitted int) {
		for i := range n {
			c, _, _ := hystrix.GetCircuit(At(order, from+i)) // GetCircuit never returns an error
			if start := time.Now(); c.AllowRequest() {
				success.report(c, start)
				admitted++
			}
		}
		return admitted
	}
}
