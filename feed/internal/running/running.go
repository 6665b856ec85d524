package running

import (
	"sync/atomic"
	"time"

	"breakwater.dev/instant"
)

const (
	// MaxCalls and MaxAll bound the number of calls that are remembered, for each proxy and for all proxies together.
	MaxCalls = 16_384
	MaxAll   = 1 << 19
	// sweepInterval is how often calls are forgotten whose ends were lost.
	sweepInterval = 10 * time.Second
)

// Calls are the calls of one proxy. They outlive the stream that reported them: a proxy that connects again logs their ends on
// another one.
type Calls struct {
	calls   map[ID]early // nil if there are none
	all     *atomic.Int64
	sweptAt instant.Instant
}

// ID identifies a call of one proxy. No two requests of one connection begin at the same microsecond.
type ID struct {
	Connection uint64
	Start      time.Duration // by the proxy's clock
}

// early is when a call began, and until when it is remembered.
type early struct{ began, until instant.Instant }

// New returns the calls of a proxy that has none. all counts the calls of all proxies.
func New(all *atomic.Int64) Calls { return Calls{all: all} }

// Add remembers a call that began at an instant and must have ended by another one. It reports whether the call is new and there is room
// for it.
func (c *Calls) Add(id ID, began, until, now instant.Instant) bool {
	if now.Sub(c.sweptAt) >= sweepInterval {
		c.sweptAt = now
		c.forget(func(e early) bool { return e.until <= now })
	}
	if _, known := c.calls[id]; known || len(c.calls) >= MaxCalls {
		return false
	}
	if c.all.Add(1) > MaxAll {
		c.all.Add(-1)
		return false
	}
	if c.calls == nil {
		c.calls = map[ID]early{}
	}
	c.calls[id] = early{began, until}
	return true
}

// End forgets a call that has ended, and returns when it began. known is false if the call is not remembered.
func (c *Calls) End(id ID) (began instant.Instant, known bool) {
	e, known := c.calls[id]
	if known {
		delete(c.calls, id)
		c.all.Add(-1)
		c.release()
	}
	return e.began, known
}

// Len returns how many calls are remembered.
func (c *Calls) Len() int { return len(c.calls) }

// Clear forgets all calls.
func (c *Calls) Clear() { c.forget(func(early) bool { return true }) }

// forget forgets the calls that match.
func (c *Calls) forget(matches func(early) bool) {
	for id, e := range c.calls {
		if matches(e) {
			delete(c.calls, id)
			c.all.Add(-1)
		}
	}
	c.release()
}

// release frees the memory of an empty map, which is as large as the map ever was.
func (c *Calls) release() {
	if len(c.calls) == 0 {
		c.calls = nil
	}
}
