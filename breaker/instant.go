package breaker

import "time"

// Instant is a point on a monotonic clock: nanoseconds since a start that the
// caller chose once and keeps. Only differences mean anything to this package,
// which is why stepping the wall clock never opens or closes a breaker.
type Instant int64

// Add returns the instant d later.
func (i Instant) Add(d time.Duration) Instant { return i + Instant(d) }

// Sub returns the time from j to i.
func (i Instant) Sub(j Instant) time.Duration { return time.Duration(i - j) }
