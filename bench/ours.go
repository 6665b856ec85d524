package main

import (
	"sync"
	"time"

	"breakwater.dev/breaker"
)

// duration is how long every call is said to have taken: it is handed in, and
// much below the threshold of slow calls.
const duration = time.Millisecond

// forLong is a wait that no run of the benchmark outlasts.
const forLong = time.Hour

// clock reads the monotonic clock, as instants of our engine. Methods of a
// struct with the start in it are inlined, closures are not.
type clock struct{ start time.Time }

func newClock() clock                { return clock{start: time.Now()} }
func (c clock) now() breaker.Instant { return breaker.Instant(time.Since(c.start)) }

// engineOf returns an engine with a breaker of all rules for each name, and its clock.
func engineOf(names []string, config breaker.Config) (*breaker.Engine, clock) {
	c := newClock()
	specs := make([]breaker.Spec, len(names))
	for i, name := range names {
		specs[i] = breaker.Spec{Key: breaker.Key{Upstream: name}, Config: config, Lease: 20 * time.Second}
	}
	e := breaker.NewEngine(breaker.Options{})
	e.Apply(specs, c.now())
	return e, c
}

// ours has a time window, consecutive failures, failure rate and slow calls all
// on, and reads the clock once for a call.
func ours() peer {
	return peer{
		name: "Breakwater",
		one: func() loop {
			e, c := engineOf([]string{"one"}, breaker.DefaultConfig())
			return callsOf(e.Breaker(breaker.Key{Upstream: "one"}), c)
		},
		many: func(d directory) loop {
			e, c := engineOf(d.names, breaker.DefaultConfig())
			return callsByKey(e, c, d.order)
		},
		open: func() (func(), loop) {
			config := breaker.DefaultConfig()
			config.WaitDurationInOpenState = forLong
			e, c := engineOf([]string{"open"}, config)
			b := e.Breaker(breaker.Key{Upstream: "open"})
			trip := func() {
				for range config.ConsecutiveFailures {
					p, _ := b.Acquire(c.now())
					p.Done(breaker.Failure, c.now())
				}
			}
			calls := func(n, _ int) (admitted int) {
				for range n {
					if _, d := b.Acquire(c.now()); d.Admitted {
						admitted++
					}
				}
				return admitted
			}
			return trip, calls
		},
	}
}

func callsOf(b *breaker.Breaker, c clock) loop {
	return func(n, _ int) (admitted int) {
		for range n {
			at := c.now()
			p, d := b.Acquire(at)
			p.Done(breaker.Success, at.Add(duration))
			if d.Admitted {
				admitted++
			}
		}
		return admitted
	}
}

// callsByKey makes a key for each call, as who has just read a name does.
func callsByKey(e *breaker.Engine, c clock, order []string) loop {
	return func(n, from int) (admitted int) {
		for i := range n {
			now := c.now()
			p, d := e.Acquire(breaker.Key{Upstream: at(order, from+i)}, now)
			p.Done(breaker.Success, now.Add(duration))
			if d.Admitted {
				admitted++
			}
		}
		return admitted
	}
}

// clockFloor only reads the clock: less than this nobody needs who looks at the time.
func clockFloor() peer {
	calls := func() loop {
		c := newClock()
		return func(n, _ int) (read int) {
			for range n {
				if c.now() >= 0 {
					read++
				}
			}
			return read
		}
	}
	return peer{
		name: "floor: the clock alone",
		one:  calls,
		open: func() (func(), loop) {
			read := calls()
			return func() {}, func(n, from int) int { return read(n, from) - n }
		},
	}
}

// counted is what a breaker cannot be simpler than that counts exactly.
type counted struct {
	mu    sync.Mutex
	calls uint64
	last  breaker.Instant
}

func (m *counted) call(now breaker.Instant) bool {
	m.mu.Lock()
	m.calls++
	m.last = now
	m.mu.Unlock()
	return true
}

// mutexFloor reads the clock and counts under a mutex, once for a call: no
// window, no state, no outcome.
func mutexFloor() peer {
	return peer{
		name: "floor: clock, mutex, counter",
		one: func() loop {
			m, c := new(counted), newClock()
			return func(n, _ int) (admitted int) {
				for range n {
					if m.call(c.now()) {
						admitted++
					}
				}
				return admitted
			}
		},
		many: func(d directory) loop {
			all, c := byName(d, func() *counted { return new(counted) }), newClock()
			return func(n, from int) (admitted int) {
				for i := range n {
					if all[at(d.order, from+i)].call(c.now()) {
						admitted++
					}
				}
				return admitted
			}
		},
	}
}
