package main

import (
	"runtime"
	"time"

	"github.com/afex/hystrix-go/hystrix"
)

// hystrixCircuit returns the circuit of a name from hystrix's own registry, where
// it stays until the process ends. Its window of 10 s in ten parts is fixed; it
// has the failure rate and the minimum of calls, no consecutive failures, no slow
// calls (its deadline makes a call fail), one probe at a time.
//
// hystrix.Do is not what is measured: it starts two goroutines for a call to
// enforce a deadline and a limit of concurrency, which nobody else here has.
// AllowRequest and ReportEvent are public and do what the others do.
func hystrixCircuit(name string) *hystrix.CircuitBreaker {
	hystrix.ConfigureCommand(name, hystrix.CommandConfig{
		RequestVolumeThreshold: 10, ErrorPercentThreshold: 50, SleepWindow: int(forLong / time.Millisecond),
	})
	c, _, err := hystrix.GetCircuit(name)
	if err != nil {
		panic(err) // it has no path that returns one
	}
	return c
}

// hystrixEvent are what hystrix takes; it wants a slice, which is made once.
type hystrixEvent []string

// report records an event. Outcomes go through a queue to a goroutine of the
// circuit, which drops them when it is full; a dropped one is not recorded, so
// it is given again until it is.
func (e hystrixEvent) report(c *hystrix.CircuitBreaker, start time.Time) {
	for c.ReportEvent(e, start, duration) != nil {
		runtime.Gosched()
	}
}

func hystrixPeer() peer {
	success, failure := hystrixEvent{"success"}, hystrixEvent{"failure"}
	return peer{
		name: "afex/hystrix-go", module: "github.com/afex/hystrix-go", lingers: true,
		one: func() loop { return hystrixCalls(hystrixCircuit("one"), success) },
		many: func(d directory) loop {
			for _, name := range d.names {
				hystrixCircuit(name)
			}
			return hystrixMany(d.order, success)
		},
		open: func() (func(), loop) {
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

func hystrixCalls(c *hystrix.CircuitBreaker, success hystrixEvent) loop {
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

// hystrixMany finds circuits by hystrix's own table; it needs them to be there.
func hystrixMany(order []string, success hystrixEvent) loop {
	return func(n, from int) (admitted int) {
		for i := range n {
			c, _, _ := hystrix.GetCircuit(at(order, from+i)) // it never returns an error
			if start := time.Now(); c.AllowRequest() {
				success.report(c, start)
				admitted++
			}
		}
		return admitted
	}
}
