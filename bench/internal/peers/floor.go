package peers

import (
	"sync"
	"time"

	"breakwater.dev/bench/internal/measure"
	"breakwater.dev/breaker"
)

// Clock reads the monotonic clock as instants of our engine. It is safe for concurrent use. It is a struct because Go
// inlines its method, and does not inline closures.
type Clock struct{ start time.Time }

// NewClock returns a clock whose instants begin now.
func NewClock() Clock { return Clock{start: time.Now()} }

// Now returns the current instant.
func (c Clock) Now() breaker.Instant { return breaker.Instant(time.Since(c.start)) }

// clockFloor returns a peer that only reads the clock. No breaker that reads the clock can cost less.
func clockFloor() Peer {
	calls := func() measure.Loop {
		c := NewClock()
		return func(n, _ int) (read int) {
			for range n {
				if c.Now() >= 0 {
					read++
				}
			}
			return read
		}
	}
	return Peer{
		Name: "floor: the clock alone",
		One:  calls,
		Open: func() (func(), measure.Loop) {
			read := calls()
			return func() {}, func(n, from int) int { return read(n, from) - n }
		},
	}
}

// counter is the simplest exact counter.
type counter struct {
	mu    sync.Mutex
	calls uint64
	last  breaker.Instant
}

func (m *counter) call(now breaker.Instant) bool {
	m.mu.Lock()
	m.calls++
	m.last = now
	m.mu.Unlock()
	return true
}

// MutexFloor returns a peer that reads the clock and counts under a mutex, once for each call. It has no
// window, no state and no outcomes.
func MutexFloor() Peer {
	return Peer{
		Name: "floor: clock, mutex, counter",
		One: func() measure.Loop {
			m, c := new(counter), NewClock()
			return func(n, _ int) (admitted int) {
				for range n {
					if m.call(c.Now()) {
						admitted++
					}
				}
				return admitted
			}
		},
		Many: func(d Directory) measure.Loop {
			all, c := byName(d, func() *counter { return new(counter) }), NewClock()
			return func(n, from int) (admitted int) {
				for i := range n {
					if all[At(d.Order, from+i)].call(c.Now()) {
						admitted++
					}
				}
				return admitted
			}
		},
	}
}
