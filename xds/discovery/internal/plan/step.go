package plan

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"breakwater.dev/wire"
	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery/internal/protocol"
)

// WorkersLate is the longest time from a proxy's answer that it took its routes until the last of its workers uses them.
const WorkersLate = 250 * time.Millisecond

// routing returns the type that has the routes to upstreams: virtual hosts, which only delta xDS can send one by one.
func (p *Proxy) routing() string {
	if p.kind == protocol.Delta {
		return xds.VirtualHostType
	}
	return xds.RouteType
}

// step returns resources with the routes that the proxy may have now, and after what time to look for the next routes; 0:
// there are none, or the proxy's answer comes before. No type that routes wait for may await its answer.
func (p *Proxy) step(resources xds.Resources, now time.Time) (xds.Resources, time.Duration, error) {
	s, next := p.subs[p.routing()], resources[xds.VirtualHostType]
	if s == nil || s.Pending() {
		return resources, 0, nil
	}
	p.takes(s, next)
	via, again := next, time.Duration(0)
	if p.taken == nil || p.taken.Same(next) {
		p.goal = nil
	} else {
		step, wait, err := p.via(s, next)
		if err != nil {
			return nil, 0, fmt.Errorf("from one policy to the next: %w", err)
		}
		via = step
		if rest := WorkersLate - now.Sub(s.LastACK()); wait && rest > 0 {
			via, again = p.sent, rest
		} else if via == p.goal {
			p.goal = nil
		}
	}
	p.sent = via
	resources = maps.Clone(resources)
	resources[xds.VirtualHostType] = via
	if p.kind == protocol.Sotw {
		resources[xds.RouteType] = xds.WholeRoutes(via)
	}
	return resources, again, nil
}

// takes notes which virtual hosts the proxy was sent, and which it has taken; nil: they are not known with their hosts.
func (p *Proxy) takes(s *protocol.Subscription, next *xds.List) {
	if p.kind == protocol.Delta {
		p.taken, p.sent = s.Taken(next), s.Sent()
		if claimed, _ := p.taken.Claimed(); claimed > 0 {
			p.taken = nil
		}
	} else if !s.RefusesAny() {
		p.taken = p.sent
	}
}

// via returns the virtual hosts by which the proxy gets to its goal from those that it has taken, and whether all its workers
// must use the taken ones before.
func (p *Proxy) via(s *protocol.Subscription, next *xds.List) (via *xds.List, wait bool, err error) {
	if via, err = xds.Step(p.pool, p.taken, next); err != nil {
		return nil, false, err
	}
	// A policy that is published again and again must keep no proxy from the routes for which it has the hosts.
	if p.goal == nil || s.RefusesAny() || via == next || via == p.taken {
		p.goal = next
	} else if via, err = xds.Step(p.pool, p.taken, p.goal); err != nil {
		return nil, false, err
	}
	switch {
	case via == next:
		return next, false, nil
	case via == p.taken:
		return p.goal, true, nil
	case p.kind == protocol.Delta && slices.ContainsFunc(via.Since(p.taken).Changed, func(r *xds.Resource) bool { return s.Refuses(r.Name) }):
		// A virtual host that is refused must keep no other from the proxy, except those that need it.
		return xds.Hold(p.pool, p.taken, next), false, nil
	}
	first, err := xds.Step(p.pool, p.taken, via) // via may have fallbacks of its own
	return via, first == p.taken, err
}

// referred returns the resources of a type that the proxy gets, and those to which virtual hosts refer that it did not let go:
// while it refuses a virtual host, it keeps the one that it had. Every virtual host leads to the cluster of its upstream.
func (p *Proxy) referred(typeURL string, resources *xds.List) *xds.List {
	hosts, s := p.subs[xds.VirtualHostType], p.subs[typeURL]
	if hosts == nil || !hosts.RefusesAny() {
		return resources
	}
	var more []*xds.Resource
	for _, r := range s.Sent().Since(resources).Changed {
		if resources.Find(r.Name) == nil && p.taken.Find(wire.VirtualHost(r.Name)) != nil {
			more = append(more, r)
		}
	}
	return resources.With(p.pool, more, nil)
}
