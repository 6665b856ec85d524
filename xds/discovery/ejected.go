package discovery

import (
	"maps"
	"net/netip"
	"slices"

	"breakwater.dev/xds"
)

// Eject has proxies leave these endpoints of an upstream alone from now on, in place of
// those of the last time; none: they may use all. It holds over publications, and
// what is of no policy any more makes no difference. An error means that nothing changed.
func (s *Server) Eject(upstream string, endpoints []netip.AddrPort) error {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	ejected := maps.Clone(s.ejected)
	if ejected == nil {
		ejected = map[string][]netip.AddrPort{}
	}
	if len(endpoints) == 0 {
		delete(ejected, upstream)
	} else {
		ejected[upstream] = slices.Clone(endpoints)
	}
	s.ejected = ejected
	if p := s.current.Load(); p != nil {
		next, err := p.with(ejected)
		if err != nil {
			return err
		}
		s.current.Store(next)
		s.wake()
	}
	return nil
}

// with is the publication with other ejections: nothing is translated again.
func (p *Publication) with(ejected map[string][]netip.AddrPort) (*Publication, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := &Publication{set: p.set, ejected: ejected, plain: maps.Clone(p.plain), views: map[string]xds.Resources{}}
	for name, rs := range next.plain {
		marked, err := eject(rs, ejected)
		if err != nil {
			return nil, err
		}
		next.views[name] = marked
	}
	return next, nil
}

// eject marks endpoints in a copy of rs.
func eject(rs xds.Resources, ejected map[string][]netip.AddrPort) (xds.Resources, error) {
	if len(ejected) == 0 {
		return rs, nil
	}
	endpoints := slices.Clone(rs[xds.EndpointType])
	for i, r := range endpoints {
		out := ejected[r.Name]
		if out == nil {
			continue
		}
		marked, err := r.WithUnhealthy(out)
		if err != nil {
			return nil, err
		}
		endpoints[i] = marked
	}
	rs = maps.Clone(rs)
	rs[xds.EndpointType] = endpoints
	return rs, nil
}
