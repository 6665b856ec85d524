package plan

import (
	"maps"
	"time"

	"breakwater.dev/xds"
)

// WorkersLate is the longest time from a proxy's answer that it took its routes until the last of its workers uses them.
const WorkersLate = 250 * time.Millisecond

// Steps finds the way from some routes to others.
type Steps interface {
	// Step returns the routes that a proxy with the routes had takes next on its way to the routes next, see
	// [xds.Translation.Step].
	Step(had, next *xds.Resource) (*xds.Resource, error)
}

// step returns resources with the routes that the proxy may have now, and after what time to look for the next routes; 0:
// there are none, or the proxy's answer comes before. No type that routes wait for may await its answer.
func (p *Proxy) step(resources xds.Resources, steps Steps, now time.Time) (xds.Resources, time.Duration, error) {
	s := p.subs[xds.RouteType]
	if s == nil || s.Pending() {
		return resources, 0, nil
	}
	next := resources[xds.RouteType][0]
	s.Recognise(next)
	refused := s.Refuses(next.Name)
	if !refused {
		p.taken = s.Sent(next.Name)
	}
	if p.taken == nil || p.taken.Message == nil || p.taken == next {
		p.goal = nil
		return resources, 0, nil
	}
	via, wait, err := p.via(steps, next, refused)
	if err != nil {
		return nil, 0, err
	}
	var again time.Duration
	if rest := WorkersLate - now.Sub(s.LastACK()); wait && rest > 0 {
		via, again = s.Sent(next.Name), rest
	} else if via == p.goal {
		p.goal = nil
	}
	return withRoutes(resources, via), again, nil
}

// via returns the routes by which the proxy gets to its goal from the routes that it has taken, and whether all its workers
// must use the taken ones before.
func (p *Proxy) via(steps Steps, next *xds.Resource, refused bool) (via *xds.Resource, wait bool, err error) {
	if via, err = steps.Step(p.taken, next); err != nil {
		return nil, false, err
	}
	// A policy that is published again and again must keep no proxy from the routes for which it has the hosts.
	if p.goal == nil || refused || via == next || via == p.taken {
		p.goal = next
	} else if via, err = steps.Step(p.taken, p.goal); err != nil {
		return nil, false, err
	}
	switch via {
	case next:
		return next, false, nil
	case p.taken:
		return p.goal, true, nil
	}
	first, err := steps.Step(p.taken, via) // via may have fallbacks of its own
	return via, first == p.taken, err
}

func withRoutes(resources xds.Resources, routes *xds.Resource) xds.Resources {
	resources = maps.Clone(resources)
	resources[xds.RouteType] = []*xds.Resource{routes}
	return resources
}
