package publisher

import (
	"time"

	"breakwater.dev/breaker"
)

// Pause is the shortest time from one publication of gates to the next, except that a policy never waits. When a zone fails,
// hundreds of breakers open within a second, and each publication costs a response for every proxy. The first change after a pause
// is published at once.
const Pause = 20 * time.Millisecond

// pace keeps publications apart. The zero value has published nothing.
type pace struct {
	until breaker.Instant // the end of the pause after the last publication
}

// wait returns how long a change that is there now has to wait until it is published; 0: not at all.
func (p *pace) wait(now breaker.Instant) time.Duration { return max(p.until.Sub(now), 0) }

// published notes that there was a publication.
func (p *pace) published(now breaker.Instant) { p.until = now.Add(Pause) }
