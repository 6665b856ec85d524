package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"breakwater.dev/examples/internal/stage"
)

const (
	callersEach = 2 // at each proxy
	callGap     = 25 * time.Millisecond
)

// callers call payments through all proxies until they are ended.
type callers struct {
	end context.CancelFunc
	all sync.WaitGroup

	mu               sync.Mutex
	passed, rejected int
	wrong            error // the first response that is neither one of payments nor the fallback
}

// crowd starts callers. The caller of crowd ends them.
func (m *mesh) crowd(ctx context.Context) *callers {
	ctx, end := context.WithCancel(ctx)
	c := &callers{end: end}
	for _, p := range m.proxies {
		for range callersEach {
			c.all.Go(func() {
				for ctx.Err() == nil {
					c.count(ctx, p, m.call(ctx, p))
					select {
					case <-ctx.Done():
					case <-time.After(callGap):
					}
				}
			})
		}
	}
	return c
}

func (c *callers) count(ctx context.Context, p *stage.Proxy, r stage.Reply) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case r.Status == passed:
		c.passed++
	case r.Status == rejected && strings.Contains(r.Body, "payments is unavailable"):
		c.rejected++
	case ctx.Err() == nil:
		c.wrong = errors.Join(c.wrong, fmt.Errorf("a caller at %s got %d %s, after %s", p.ID, r.Status, r.Body, r.Took.Round(time.Millisecond)))
	}
}

// stop ends the callers. It returns how many responses came from payments, and how many were the fallback. It is an error if any
// other response came.
func (c *callers) stop() (passed, rejected int, err error) {
	c.end()
	c.all.Wait()
	return c.passed, c.rejected, c.wrong
}
