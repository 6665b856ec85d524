package discovery

import (
	"fmt"
	"maps"
	"time"

	"breakwater.dev/xds"
)

// workersLate bounds how much later than a proxy has answered that it has taken its routes the last of
// its workers goes by them.
const workersLate = 250 * time.Millisecond

// step is rs with the routes that the proxy may have now, see [xds.Translation.Step]. It is called when no type
// that routes wait for awaits its answer.
func (st *stream) step(p *Publication, rs xds.Resources) (xds.Resources, error) {
	s := st.subs[xds.RouteType]
	if s == nil || s.inFlight {
		return rs, nil
	}
	next := rs[xds.RouteType][0]
	if sent := s.sent[next.Name]; sent != nil && sent.Version == next.Version {
		s.sent[next.Name] = next // of an earlier stream only the version is known
	}
	_, refused := s.refused[next.Name]
	if !refused {
		st.taken = s.sent[next.Name]
	}
	if st.taken == nil || st.taken.Message == nil || st.taken == next {
		st.goal = nil
		return rs, nil
	}
	via, wait, err := st.via(p, next, refused)
	if err != nil {
		return nil, err
	}
	if rest := workersLate - st.server.options.Now().Sub(s.ackedAt); wait && rest > 0 {
		st.later.Reset(rest)
		via = s.sent[next.Name]
	} else if via == st.goal {
		st.goal = nil
	}
	return withRoutes(rs, via), nil
}

// via returns the routes by which the proxy gets to its goal from those that it has taken, and whether all its workers
// have to go by these before.
func (st *stream) via(p *Publication, next *xds.Resource, refused bool) (via *xds.Resource, wait bool, err error) {
	if via, err = p.step(st.taken, next); err != nil {
		return nil, false, err
	}
	// What is published again and again is to keep no proxy from the routes that it has hosts for.
	if st.goal == nil || refused || via == next || via == st.taken {
		st.goal = next
	} else if via, err = p.step(st.taken, st.goal); err != nil {
		return nil, false, err
	}
	switch via {
	case next:
		return next, false, nil
	case st.taken:
		return st.goal, true, nil
	}
	first, err := p.step(st.taken, via) // which may have fallbacks of its own
	return via, first == st.taken, err
}

func withRoutes(rs xds.Resources, routes *xds.Resource) xds.Resources {
	rs = maps.Clone(rs)
	rs[xds.RouteType] = []*xds.Resource{routes}
	return rs
}

// step is [xds.Translation.Step].
func (p *Publication) step(had, next *xds.Resource) (*xds.Resource, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	step, err := p.translation.Step(had, next)
	if err != nil {
		return nil, fmt.Errorf("from one policy to the next: %w", err)
	}
	return step, nil
}
