package peers

import (
	"time"

	"breakwater.dev/bench/internal/measure"
	"breakwater.dev/breaker"
)

// Duration is the duration that the loops report for every call. It is much shorter than the threshold of slow calls.
const Duration = time.Millisecond

// longWait is a wait that is longer than any run of the benchmark.
const longWait = time.Hour

// NewEngine returns an engine with a breaker for each name, all with the same configuration, and its clock.
func NewEngine(names []string, config breaker.Config) (*breaker.Engine, Clock) {
	c := NewClock()
	specs := make([]breaker.Spec, len(names))
	for i, name := range names {
		specs[i] = breaker.Spec{Key: breaker.Key{Upstream: name}, Config: config, Lease: 20 * time.Second}
	}
	e := breaker.NewEngine(breaker.Options{})
	e.Apply(specs, c.Now())
	return e, c
}

// Ours returns our own breaker, with a time window and with the rules for consecutive failures, failure rate and slow
// calls. The loops read the clock once for each call.
func Ours() Peer {
	return Peer{
		Name: "Breakwater",
		One: func() measure.Loop {
			e, c := NewEngine([]string{"one"}, breaker.DefaultConfig())
			return callsOf(e.Breaker(breaker.Key{Upstream: "one"}), c)
		},
		Many: func(d Directory) measure.Loop {
			e, c := NewEngine(d.Names, breaker.DefaultConfig())
			return callsByKey(e, c, d.Order)
		},
		Open: func() (func(), measure.Loop) {
			config := breaker.DefaultConfig()
			config.WaitDurationInOpenState = longWait
			e, c := NewEngine([]string{"open"}, config)
			b := e.Breaker(breaker.Key{Upstream: "open"})
			trip := func() {
				for range config.ConsecutiveFailures {
					p, _ := b.Acquire(c.Now())
					p.Done(breaker.Failure, c.Now())
				}
			}
			calls := func(n, _ int) (admitted int) {
				for range n {
					if _, d := b.Acquire(c.Now()); d.Admitted {
						admitted++
					}
				}
				return admitted
			}
			return trip, calls
		},
	}
}

func callsOf(b *breaker.Breaker, c Clock) measure.Loop {
	return func(n, _ int) (admitted int) {
		for range n {
			at := c.Now()
			p, d := b.Acquire(at)
			p.Done(breaker.Success, at.Add(Duration))
			if d.Admitted {
				admitted++
			}
		}
		return admitted
	}
}

// callsByKey makes a new key for each call, as a caller does that has just read the name.
func callsByKey(e *breaker.Engine, c Clock, order []string) measure.Loop {
	return func(n, from int) (admitted int) {
		for i := range n {
			now := c.Now()
			p, d := e.Acquire(breaker.Key{Upstream: At(order, from+i)}, now)
			p.Done(breaker.Success, now.Add(Duration))
			if d.Admitted {
				admitted++
			}
		}
		return admitted
	}
}
