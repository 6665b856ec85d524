package peers

import (
	"runtime"
	"time"

	"github.com/afex/hystrix-go/hystrix"

	"breakwater.dev/bench/internal/measure"
)

// hystrixCircuit returns the circuit of a name from hystrix's own registry, where
// it stays until the process ends. Its window of 10 s in ten parts is fixed; it
// has the failure rate and the minimum of calls, no consecutive failures, no slow
// calls (its deadline makes a call fail), one probe at a time.
//
// hystrix.Do is not what is measured: it starts two goroutines for a call to
// enforce a deadline and a limit of concurrency, which no other peer has.
// AllowRequest and ReportEvent are public and do what the others do.
func hystrixCircuit(name string) *hystrix.CircuitBreaker {
	hystrix.ConfigureCommand(name, hystrix.CommandConfig{
		RequestVolumeThreshold: 10, ErrorPercentThreshold: 50, SleepWindow: int(forLong / time.Millisecond),
	})
	c, _, err := hystrix.GetCircuit(name)
	if err != nil {
		panic(err) // no path through it returns an error
	}
	return c
}

// hystrixEvent is an event as hystrix takes it: a slice, which is made once.
type hystrixEvent []string

// report records an event. Outcomes go through a queue to a goroutine of the
// circuit, which drops them when it is full. An outcome that was dropped is not recorded, so
// it is reported again until it is.
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

// hystrixMany finds circuits in hystrix's own table, where they must be already.
func hystrixMany(order []string, success hystrixEvent) measure.Loop {
	return func(n, from int) (admitted int) {
		for i := range n {
			c, _, _ := hystrix.GetCircuit(At(order, from+i)) // it never returns an error
			if start := time.Now(); c.AllowRequest() {
				success.report(c, start)
				admitted++
			}
		}
		return admitted
	}
}
