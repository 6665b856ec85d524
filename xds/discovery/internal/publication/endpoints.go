package publication

import (
	"maps"
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
	sends := func(k *Publication) bool {
		_, sent := k.located(upstream)
		return sent
	}
	if slices.ContainsFunc(kept, sends) {
		l := located{}
		l.content, _ = table.Upstream(upstream)
		var err error
		if l.resource, err = xds.Endpoints(upstream, l.content); err != nil {
			return err
		}
		for _, k := range kept {
			k.setEndpoints(l)
		}
		p.proxies.Wake(p.Current())
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

// eject has the endpoints ejected that are ejected in table, and no others. It has the same endpoints as p.table.
func (p *Publication) eject(table *endpoints.Table) error {
	for _, upstream := range slices.Concat(p.table.Ejecting(), table.Ejecting()) {
		l, sent := p.located(upstream)
		content, _ := table.Upstream(upstream)
		if !sent || same(l.content, content) {
			continue
		}
		l.content = content
		var err error
		if l.resource, err = xds.Endpoints(upstream, l.content); err != nil {
			return err
		}
		p.setEndpoints(l)
	}
	return nil
}

// located returns the endpoints of an upstream, and whether any proxy may get them.
func (p *Publication) located(upstream string) (l located, sent bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l, sent = p.endpoints[upstream]
	return l, sent
}

// setEndpoints replaces the endpoints of an upstream, if the publication has any of it.
func (p *Publication) setEndpoints(l located) {
	p.mu.Lock()
	defer p.mu.Unlock()
	name := l.resource.Name
	had := p.endpoints[name].resource
	if had == nil {
		return
	}
	if had.Version == l.resource.Version {
		l.resource = had
	}
	p.endpoints[name] = l
	if l.resource == had {
		return
	}
	changed := []*xds.Resource{l.resource}
	p.all = p.all.With(p.xds.Pool, changed, nil)
	for v, c := range p.contents {
		before := c.Resources[xds.EndpointType]
		if before.Find(name) == nil {
			continue
		}
		next := *c
		next.Resources = maps.Clone(c.Resources)
		next.Resources[xds.EndpointType] = before.With(p.xds.Pool, changed, nil)
		p.contents[v] = &next
	}
}
