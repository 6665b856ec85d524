package app

import (
	"sync"

	"breakwater.dev/breaker"
	"breakwater.dev/xds"
)

// obeying is which gates are in force in proxies.
type obeying struct {
	mu    sync.Mutex
	nodes map[string]obeyed
}

// obeyed is what one proxy obeys.
type obeyed struct {
	gates *xds.Gates
	told  breaker.Instant // when it last said so
	until breaker.Instant // when they fall away; 0: they have no time to live
	began breaker.Instant // when it last came without gates; 0: not known
}

// note takes on that gates are in force in a proxy from a time on; nil: none are any more.
func (o *obeying) note(node string, g *xds.Gates, from, now breaker.Instant) {
	o.mu.Lock()
	defer o.mu.Unlock()
	is := o.nodes[node]
	switch {
	case g != nil:
		is = obeyed{gates: g, told: from, began: is.began}
	case from > now:
		is.until = from
	default:
		is = obeyed{began: now}
	}
	o.nodes[node] = is
}

// read returns what a proxy obeys now.
func (o *obeying) read(node string) obeyed {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.nodes[node]
}

// left returns the proxies that are not among those here, and obey gates still.
func (o *obeying) left(here map[string]bool, now breaker.Instant) (nodes []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for node, is := range o.nodes {
		if !here[node] && is.until > now {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

// forget forgets the proxies that are not among those here, and obey no gates any more.
func (o *obeying) forget(here map[string]bool, now breaker.Instant) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for node, is := range o.nodes {
		if !here[node] && is.until <= now {
			delete(o.nodes, node)
		}
	}
}
