package instant

import "time"

// Instant is a point on a monotonic clock, in nanoseconds since a start. The
// program chooses the start once, as a rule when it begins, and keeps it: instants
// that count from different starts cannot be compared. An Instant below 0 lies
// before the start.
//
// The zero Instant is the start itself. It is an ordinary point in time; it does not
// mean "never" or "not set", except where a field says so.
//
// Only the difference between two instants has a meaning here, so a wall clock that
// is set forward or back never opens a breaker or ends an ejection. A program that
// shows an instant to a user adds it to the wall time of the start. A program that
// stores an instant for another process stores wall time, because the other process
// has another start. See docs/adr/0004-instants.md.
type Instant int64

// Add returns the instant that is d later, or earlier where d is below 0.
func (i Instant) Add(d time.Duration) Instant { return i + Instant(d) }

// Sub returns the time from j to i. It is below 0 where j is the later one.
func (i Instant) Sub(j Instant) time.Duration { return time.Duration(i - j) }
