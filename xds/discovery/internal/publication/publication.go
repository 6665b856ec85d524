package publication

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"breakwater.dev/endpoints"
	"breakwater.dev/internal/lockorder"
	"breakwater.dev/policy"
	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery/internal/node"
)

// Publication is a policy translated for every kind of proxy that is connected, with the endpoints of its upstreams, ready to
// be published. Only the endpoints change while it is published.
type Publication struct {
	set       *policy.Set      // as it was prepared
	joined    *policy.Set      // joined by departing upstreams
	departing []string         // the names of these
	table     *endpoints.Table // as the publication was prepared
	xds       xds.Options

	mu          lockorder.Mutex[lockorder.DiscoveryLeaf] // guards the fields below
	translation *xds.Translation
	endpoints   map[string]located // by upstream, departing ones included; none for upstreams that are found by DNS
	all         *xds.List          // all endpoints
	contents    map[*View]*Content
}

// located is the endpoints of an upstream.
type located struct {
	content  endpoints.Upstream
	resource *xds.Resource
}

// Content has the resources that the proxies of a view get by a publication, except for their runtime layers. It is immutable.
// Views keep their content from one publication to the next where nothing changes for them.
type Content struct {
	Calls     *Calls
	Resources xds.Resources
	// interest has the names of the upstreams on which the content depends; nil: on all.
	interest map[string]bool
}

// make makes the content for these views. It takes over everything that has not changed since the publication before, which may
// be nil. An error means that the set or the endpoints cannot be translated.
func (p *Publication) make(before *Publication, views []*View) error {
	p.endpoints, p.contents = map[string]located{}, map[*View]*Content{}
	changed, err := p.translate(before)
	if err != nil {
		return err
	}
	if _, err := p.content(&View{node: defaultNode}); err != nil {
		return err
	}
	for _, v := range views {
		if had := before.made(v); had != nil && p.keeps(before, had, changed) {
			p.contents[v] = had
			continue
		}
		c, err := p.content(v)
		if err != nil {
			return err
		}
		if had := before.made(v); had != nil && had.same(c) {
			c = had
		}
		p.contents[v] = c
	}
	return nil
}

// defaultNode is a proxy that says nothing about itself.
var defaultNode = node.Node{Listen: xds.DefaultListen}

// translate translates the set and the endpoints, and returns the names of the upstreams that have changed.
func (p *Publication) translate(before *Publication) (changed []string, err error) {
	had := map[string]located{}
	if before == nil {
		if p.translation, err = xds.NewTranslation(p.joined, p.xds); err != nil {
			return nil, err
		}
		changed = p.translation.Changed(nil)
	} else {
		if p.translation, err = before.translation.Next(p.joined); err != nil {
			return nil, err
		}
		changed = p.translation.Changed(before.translation)
		before.mu.Lock()
		p.translation.KeepPlaces(before.translation)
		had = maps.Clone(before.endpoints)
		before.mu.Unlock()
	}
	all := make([]*xds.Resource, 0, len(p.joined.Upstreams))
	for _, u := range p.joined.Upstreams {
		if u.DNS != nil {
			continue
		}
		l := located{resource: had[u.Name].resource}
		l.content, _ = p.table.Upstream(u.Name)
		if l.resource == nil || !same(had[u.Name].content, l.content) {
			if l.resource, err = xds.Endpoints(u.Name, l.content); err != nil {
				return nil, err
			}
			if r := had[u.Name].resource; r != nil && r.Version == l.resource.Version {
				l.resource = r
			} else {
				changed = append(changed, u.Name)
			}
		}
		p.endpoints[u.Name] = l
		all = append(all, l.resource)
	}
	p.all = p.xds.Pool.List(all)
	return changed, nil
}

// same reports whether both are the same endpoints, with the same ejections.
func same(a, b endpoints.Upstream) bool {
	return slices.Equal(a.Endpoints, b.Endpoints) && slices.Equal(a.Ejected, b.Ejected)
}

// keeps reports whether a content of before holds for p as well.
func (p *Publication) keeps(before *Publication, had *Content, changed []string) bool {
	if len(changed) == 0 && slices.Equal(p.departing, before.departing) {
		return true
	}
	return had.interest != nil && len(p.departing)+len(before.departing) == 0 &&
		!slices.ContainsFunc(changed, func(name string) bool { return had.interest[name] })
}

// same reports whether both contents say the same.
func (c *Content) same(other *Content) bool {
	for _, typeURL := range xds.Types {
		if !c.Resources[typeURL].Same(other.Resources[typeURL]) {
			return false
		}
	}
	return c.Calls.same(other.Calls)
}

// Gets reports whether a proxy with this content gets an upstream, if there is one of that name.
func (c *Content) Gets(upstream string) bool {
	return c.Calls.Names == nil || c.interest[upstream]
}

// content makes the content of a view. The caller holds p.mu, or has the publication for itself.
func (p *Publication) content(v *View) (*Content, error) {
	c := &Content{Calls: callsOf(p.joined, &v.node, p.departing)}
	var err error
	if c.Resources, err = p.translation.For(c.Calls.Reached, v.node.Listen); err != nil {
		return nil, fmt.Errorf("for a proxy that listens on %s: %w", v.node.Listen, err)
	}
	c.Resources[xds.EndpointType] = p.all
	if c.Calls.Names == nil {
		return c, nil
	}
	some := make([]*xds.Resource, 0, len(c.Calls.Reached))
	if v.node.Upstreams != nil {
		c.interest = make(map[string]bool, len(c.Calls.Reached))
		for _, name := range v.node.Upstreams { // an upstream that the proxy may not call may let it later
			c.interest[name] = true
		}
		for _, name := range c.Calls.Reached {
			c.interest[name] = true
		}
	}
	for _, name := range c.Calls.Reached {
		if l, known := p.endpoints[name]; known {
			some = append(some, l.resource)
		}
	}
	c.Resources[xds.EndpointType] = p.xds.Pool.List(some)
	return c, nil
}

// For returns the content of a view.
func (p *Publication) For(v *View) (*Content, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.contents[v]; c != nil {
		return c, nil
	}
	c, err := p.content(v)
	if err == nil {
		p.contents[v] = c
	}
	return c, err
}

// Made returns the content that [Publication.For] has made for a view; nil: none.
func (p *Publication) Made(v *View) *Content { return p.made(v) }

func (p *Publication) made(v *View) *Content {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.contents[v]
}

// Bytes returns the size of the resources that only proxies at an address share.
func (p *Publication) Bytes(listen netip.AddrPort) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.translation.Bytes(listen)
}

// forget drops the content that was made for a view, and with the last proxy at an address what was made for that address.
func (p *Publication) forget(v *View) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.contents, v)
	for other := range p.contents {
		if other.node.Listen == v.node.Listen {
			return
		}
	}
	if v.node.Listen != xds.DefaultListen {
		p.translation.Leave(v.node.Listen)
	}
}

// prune forgets the views that were left while the publication was prepared.
func (p *Publication) prune(open *Views) {
	for _, v := range p.views() {
		if !open.isOpen(v) {
			p.forget(v)
		}
	}
}

func (p *Publication) views() []*View {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Keys(p.contents))
}

// Views returns the number of views for which content is made.
func (p *Publication) Views() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.contents)
}
