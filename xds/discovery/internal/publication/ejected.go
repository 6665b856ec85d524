package publication

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"breakwater.dev/xds"
)

// Eject has proxies send nothing to these endpoints of an upstream from now on. It replaces the upstream's earlier
// ejections, and holds over publications. Upstreams that no policy has, and endpoints that are found by DNS, make no
// difference. An error means that nothing changed.
func (p *Publisher) Eject(upstream string, endpoints []netip.AddrPort) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	ejected := maps.Clone(p.ejected)
	if ejected == nil {
		ejected = map[string][]netip.AddrPort{}
	}
	if len(endpoints) == 0 {
		delete(ejected, upstream)
	} else {
		ejected[upstream] = slices.Clone(endpoints)
	}
	if now := p.current.Load(); now != nil {
		next, err := now.with(ejected, upstream)
		if err != nil {
			return err
		}
		p.show(next)
	}
	p.ejected = ejected
	return nil
}

// withEjected returns a publication with the ejected endpoints marked. The caller holds p.mu.
func (p *Publisher) withEjected(all *Publication) *Publication {
	shown, err := all.with(p.ejected, slices.Collect(maps.Keys(p.ejected))...)
	if err != nil { // this cannot be, since the endpoints were translated and validated before
		p.log.Error("endpoints cannot be ejected; proxies use all of them", "error", err.Error())
		return all
	}
	return shown
}

// with returns the publication with other ejections, which differ in these upstreams. Nothing is translated again, and
// all other resources are shared with p.
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

// mark returns a copy of shown in which these upstreams have the endpoints of plain, with the ejected ones marked.
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
