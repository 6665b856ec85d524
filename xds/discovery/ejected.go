package discovery

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"breakwater.dev/xds"
)

// Eject has proxies leave these endpoints of an upstream alone from now on, in place of
// those of the last time; none: they may use all. It holds over publications, and
// what is of no policy any more, or found by DNS, makes no difference. An error means
// that nothing changed.
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
	if p := s.current.Load(); p != nil {
		next, err := p.with(ejected, upstream)
		if err != nil {
			return err
		}
		s.current.Store(next)
		s.wake()
	}
	s.ejected = ejected
	return nil
}

// with is the publication with other ejections, of these upstreams. Nothing is
// translated again, and all other resources are shared with p.
func (p *Publication) with(ejected map[string][]netip.AddrPort, upstreams ...string) (*Publication, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := &Publication{
		set: p.set, upstreams: p.upstreams, access: p.access, mu: p.mu, translation: p.translation, ejected: ejected,
		plain: maps.Clone(p.plain), views: map[string]xds.Resources{}, own: p.own,
	}
	for view, plain := range p.plain {
		marked, err := mark(p.views[view], plain, ejected, upstreams)
		if err != nil {
			return nil, err
		}
		next.views[view] = marked
	}
	return next, nil
}

// mark returns a copy of shown in which the endpoints of these upstreams are as in plain,
// but for what is ejected of them.
func mark(shown, plain xds.Resources, ejected map[string][]netip.AddrPort, upstreams []string) (xds.Resources, error) {
	endpoints := slices.Clone(shown[xds.EndpointType])
	for _, upstream := range upstreams {
		at, found := slices.BinarySearchFunc(endpoints, upstream, func(r *xds.Resource, name string) int {
			return strings.Compare(r.Name, name)
		})
		if !found {
			continue // the view does not have it, or it is found by DNS
		}
		endpoints[at] = plain[xds.EndpointType][at]
		if out := ejected[upstream]; out != nil {
			marked, err := endpoints[at].WithUnhealthy(out)
			if err != nil {
				return nil, fmt.Errorf("ejecting endpoints: %w", err)
			}
			endpoints[at] = marked
		}
	}
	marked := maps.Clone(shown)
	marked[xds.EndpointType] = endpoints
	return marked, nil
}
