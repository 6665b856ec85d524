package peers

import (
	"sync"
	"time"

	"breakwater.dev/bench/internal/measure"
	"breakwater.dev/breaker"
)

// Clock reads the monotonic clock as instants of our engine. It is safe for concurrent use. Methods of a
// struct with the start in it are inlined, closures are not.
type Clock struct{ start time.Time }

// NewClock returns a clock whose instants begin now.
func NewClock() Clock { return Clock{start: time.Now()} }

// Now returns the present instant.
func (c Clock) Now() breaker.Instant { return breaker.Instant(time.Since(c.start)) }

// clockFloor only reads the clock: no breaker that looks at the time costs less.
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

// counted is the simplest thing that counts exactly.
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

// MutexFloor returns what reads the clock and counts under a mutex, once for a call: no
// window, no state, no outcome.
func MutexFloor() Peer {
	return Peer{
		Name: "floor: clock, mutex, counter",
		One: func() measure.Loop {
			m, c := new(counted), NewClock()
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
			all, c := byName(d, func() *counted { return new(counted) }), NewClock()
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
