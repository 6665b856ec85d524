package publication

import (
	"net/netip"
	"slices"

	"breakwater.dev/endpoints"
	"breakwater.dev/policy"
	"breakwater.dev/xds"
)

// PublishEndpoints sends new endpoints of an upstream to the proxies that get it. They replace its endpoints until the next
// [Publisher.Publish]. Upstreams that no policy has, or that are found by DNS, make no difference. An error means that
// nothing changed.
func (p *Publisher) PublishEndpoints(upstream string, all []policy.Endpoint) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.replace(p.table.With(upstream, all), upstream)
}

// Eject has proxies send nothing to these endpoints of an upstream from now on. It replaces the upstream's earlier
// ejections, and holds over publications. Upstreams that no policy has, or that are found by DNS, and endpoints that an
// upstream does not have, make no difference. An error means that nothing changed.
func (p *Publisher) Eject(upstream string, ejected []netip.AddrPort) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.replace(p.table.Eject(upstream, ejected), upstream)
}

// replace puts a table in force that differs only in one upstream. It makes one resource, whatever the number of upstreams
// and proxies. The caller holds p.mu.
func (p *Publisher) replace(table *endpoints.Table, upstream string) error {
	if table == p.table {
		return nil
	}
	kept := p.kept()
	if slices.ContainsFunc(kept, func(k *Publication) bool { return k.sendsEndpoints(upstream) }) {
		content, _ := table.Upstream(upstream)
		r, err := xds.Endpoints(upstream, content)
		if err != nil {
			return err
		}
		for _, k := range kept {
			k.setEndpoints(r)
		}
		p.proxies.WakeFor(upstream)
	}
	p.table = table
	return nil
}

// tableFor returns the table that is in force with next: the endpoints that next was prepared with, the last endpoints of
// departing upstreams that it does not have, and the ejections that are in force now. The caller holds p.mu.
func (p *Publisher) tableFor(next *Publication) *endpoints.Table {
	table := next.table.EjectAs(p.table)
	for _, d := range p.departing {
		if _, known := table.Upstream(d.upstream.Name); known {
			continue
		}
		if last, known := p.table.Upstream(d.upstream.Name); known {
			table = table.With(d.upstream.Name, last.Endpoints)
		}
	}
	return table
}

// eject marks the endpoints that are ejected in table, which has the same endpoints as p.table, where none is ejected.
func (p *Publication) eject(table *endpoints.Table) error {
	for _, upstream := range table.Ejecting() {
		if !p.sendsEndpoints(upstream) {
			continue
		}
		content, _ := table.Upstream(upstream)
		r, err := xds.Endpoints(upstream, content)
		if err != nil {
			return err
		}
		p.setEndpoints(r)
	}
	return nil
}

// sendsEndpoints reports whether any proxy may get the endpoints of an upstream.
func (p *Publication) sendsEndpoints(upstream string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.endpoints[upstream] != nil
}

// setEndpoints replaces the endpoints of an upstream, if the publication has any of it.
func (p *Publication) setEndpoints(r *xds.Resource) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.endpoints[r.Name] == nil {
		return
	}
	p.endpoints[r.Name] = r
	for _, v := range p.views {
		if v.resources.Has(xds.EndpointType, r.Name) {
			if v.changed == nil {
				v.changed = map[string]*xds.Resource{}
			}
			v.changed[r.Name] = r
		}
	}
}
