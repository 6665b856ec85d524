package app

import (
	"time"

	"breakwater.dev/breaker"
)

// clock reads the monotonic clock as the engine's instants.
type clock struct{ start time.Time }

func newClock() clock { return clock{start: time.Now()} }

func (c clock) now() breaker.Instant { return breaker.Instant(time.Since(c.start)) }

// wall is the time of an instant, for people.
func (c clock) wall(i breaker.Instant) time.Time { return c.start.Add(time.Duration(i)) }
