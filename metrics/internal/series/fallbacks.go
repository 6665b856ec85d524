package series

import "sync"

// Fallback is the answer that a rejected caller gets, and the value of the label of the same name.
type Fallback uint8

// The fallbacks.
const (
	Response Fallback = iota // a response of our own
	Upstream                 // the answer of another upstream
	Cached                   // a copy of an earlier response, or Response where there is none
	kinds
)

var fallbackNames = [kinds]string{Response: "response", Upstream: "upstream", Cached: "cached"}

// credits count the calls that a breaker rejected by their fallback, where it has, or had, another one
// than a response. Breakers count their rejections, and know nothing of fallbacks.
type credits struct {
	mu    sync.Mutex // guards what follows
	now   Fallback
	last  Fallback // when the breaker's count was last looked at
	seen  uint64   // the breaker's count at that time
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

// take credits the calls that a breaker has rejected since the last look, and returns the totals. Where
// copies are kept, only the proxies know which answer a caller got, so their logs count.
func (c *credits) take(rejected uint64) (calls [kinds]uint64, ever [kinds]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if rejected > c.seen && c.last != Cached {
		c.calls[c.last] += rejected - c.seen
	}
	c.seen, c.last = rejected, c.now
	return c.calls, c.ever
}
