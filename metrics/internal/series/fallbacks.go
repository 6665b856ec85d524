package series

import "sync"

// Fallback is what a rejected caller gets, and the value of the label of the same name.
type Fallback uint8

// The fallbacks.
const (
	Response Fallback = iota // a response of our own
	Upstream                 // the answer of another upstream
	Cached                   // a copy of an earlier response, or Response where there is none
	kinds
)

var fallbackNames = [kinds]string{Response: "response", Upstream: "upstream", Cached: "cached"}

// credits say which fallback rejected callers got, of a breaker that has, or had, another
// than a response. Breakers count what they reject, and know nothing of fallbacks.
type credits struct {
	mu    sync.Mutex // guards what follows
	now   Fallback
	last  Fallback // when the breaker's count was last looked at
	seen  uint64   // of the breaker's count
	ever  [kinds]bool
	calls [kinds]uint64
}

// turn makes f the fallback from now on.
func (c *credits) turn(f Fallback) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now, c.ever[f] = f, true
}

// answered counts n calls that were rejected where copies are kept.
func (c *credits) answered(f Fallback, n uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[f] += n
}

// take credits what a breaker has rejected since the last look, and returns the totals. Where
// copies are kept only the proxies know what callers got, so their logs are what counts.
func (c *credits) take(rejected uint64) (calls [kinds]uint64, ever [kinds]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if rejected > c.seen && c.last != Cached {
		c.calls[c.last] += rejected - c.seen
	}
	c.seen, c.last = rejected, c.now
	return c.calls, c.ever
}
