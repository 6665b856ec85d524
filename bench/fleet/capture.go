package main

import (
	"bytes"
	"cmp"
	"slices"
	"sync"

	"breakwater.dev/bench/fleet/internal/expect"
	"breakwater.dev/bench/fleet/internal/linear"
)

// capture keeps the resources that one proxy receives, so that another server can serve the same. It is safe for concurrent
// use.
type capture struct {
	mu    sync.Mutex
	fresh []linear.Resource // in the order in which they came
}

// received is called for each resource.
func (c *capture) received(e expect.Event, _ []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fresh = append(c.fresh, linear.Resource{TypeURL: e.TypeURL, Name: string(e.Name), Body: bytes.Clone(e.Body)})
}

// take returns the resources that have come since the last call.
func (c *capture) take() []linear.Resource {
	c.mu.Lock()
	defer c.mu.Unlock()
	fresh := c.fresh
	c.fresh = nil
	return fresh
}

// apply returns resources after changes to them.
func apply(resources, changes []linear.Resource) []linear.Resource {
	type key struct{ typeURL, name string }
	now := map[key]linear.Resource{}
	for _, r := range slices.Concat(resources, changes) {
		if k := (key{r.TypeURL, r.Name}); r.Body == nil {
			delete(now, k)
		} else {
			now[k] = r
		}
	}
	out := make([]linear.Resource, 0, len(now))
	for _, r := range now {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b linear.Resource) int {
		return cmp.Or(cmp.Compare(a.TypeURL, b.TypeURL), cmp.Compare(a.Name, b.Name))
	})
	return out
}
