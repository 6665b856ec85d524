package xds

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"breakwater.dev/policy"
	"breakwater.dev/wire"
	"breakwater.dev/xds/internal/cluster"
	"breakwater.dev/xds/internal/connect"
	"breakwater.dev/xds/internal/listener"
	"breakwater.dev/xds/internal/resource"
	"breakwater.dev/xds/internal/route"
)

// Translation is a policy, translated for all proxies. They share its resources. Two translations that follow each other share
// the resources of upstreams that have not changed. A translation is not safe for concurrent use, except as [Translation.Next]
// says.
type Translation struct {
	set *policy.Set
	Options
	parts   []*part // one for each upstream, in their order
	secrets map[string]*Resource
	routes  *List // the route configuration, which is the same for all policies
	unknown *Resource
	places  map[netip.AddrPort]*place
}

// part has the resources of one upstream that are the same for all proxies.
type part struct {
	upstream    *policy.Upstream
	cluster     *Resource
	secret      *Resource // nil: the upstream has no TLS
	virtualHost *Resource // nil: its protocol is TCP
}

// place has the resources of the proxies that listen at one address.
type place struct {
	listener *Resource
	egress   *Resource           // the cluster by which the proxy calls itself
	tcp      map[*part]*Resource // the listeners of upstreams whose protocol is TCP
	bytes    int
}

// Options are the same for all policies.
type Options struct {
	// Pool shares lists; nil: lists are not shared.
	Pool *Pool
	// Replicas says that proxies have several control planes, which share their breakers. A request that got no answer from one of
	// them asks another one.
	Replicas bool
}

// NewTranslation translates a set, which must not be changed.
func NewTranslation(set *policy.Set, o Options) (*Translation, error) {
	t := &Translation{Options: o}
	r, err := resource.Make(wire.RoutesName, route.Configuration())
	if err != nil {
		return nil, fmt.Errorf("translating routes: %w", err)
	}
	t.routes = t.Pool.List([]*Resource{r})
	unknown := route.Unknown()
	if t.unknown, err = resource.Make(unknown.Name, unknown); err != nil {
		return nil, fmt.Errorf("translating routes: %w", err)
	}
	t.unknown.Hosts = unknown.Domains
	return t.Next(set)
}

// Next translates a set that comes after the translation's own. It makes only the resources of upstreams that have changed. It
// reads nothing that other methods change, so they may be called meanwhile. An error means that the set could not have come from
// package policy.
func (t *Translation) Next(set *policy.Set) (*Translation, error) {
	next := &Translation{
		set: set, Options: t.Options, routes: t.routes, unknown: t.unknown,
		parts: make([]*part, len(set.Upstreams)), secrets: map[string]*Resource{}, places: map[netip.AddrPort]*place{},
	}
	rest := t.parts
	for i, u := range set.Upstreams {
		if i > 0 && set.Upstreams[i-1].Name >= u.Name {
			return nil, fmt.Errorf("translating upstream %q: it comes twice, or the upstreams are not sorted", u.Name)
		}
		for len(rest) > 0 && rest[0].upstream.Name < u.Name {
			rest = rest[1:]
		}
		before := &part{}
		if len(rest) > 0 && rest[0].upstream.Name == u.Name {
			before = rest[0]
		}
		if next.parts[i] = before; !means(before.upstream, u) {
			var err error
			if next.parts[i], err = t.translate(u, before); err != nil {
				return nil, fmt.Errorf("translating upstream %q: %w", u.Name, err)
			}
		}
		if s := next.parts[i].secret; s != nil {
			next.secrets[s.Name] = s
		}
	}
	return next, nil
}

// KeepPlaces takes over what the translation before has made for the addresses at which proxies listen.
func (t *Translation) KeepPlaces(before *Translation) {
	for listen, p := range before.places {
		t.places[listen] = &place{listener: p.listener, egress: p.egress, tcp: maps.Clone(p.tcp), bytes: p.bytes}
		t.places[listen].drop(t.parts)
	}
}

// means reports whether two upstreams mean the same. The first one may be nil.
func means(before, now *policy.Upstream) bool {
	return before == now || before != nil && before.Fingerprint() == now.Fingerprint()
}

// drop drops the listeners of parts that no longer exist.
func (p *place) drop(parts []*part) {
	if len(p.tcp) == 0 {
		return
	}
	stay := make(map[*part]bool, len(parts))
	for _, part := range parts {
		stay[part] = true
	}
	maps.DeleteFunc(p.tcp, func(part *part, r *Resource) bool {
		if !stay[part] {
			p.bytes -= len(r.Value())
		}
		return !stay[part]
	})
}

// translate returns the resources of an upstream. They are the ones that it had before where their content is the same.
func (t *Translation) translate(u *policy.Upstream, before *part) (*part, error) {
	p := &part{upstream: u}
	if u.Name == wire.ControlPlaneCluster {
		// The cluster in the bootstrap would win, and requests to the upstream would go to the control plane.
		return nil, fmt.Errorf("the name is taken by the control plane's own cluster; give the upstream another one")
	}
	c, err := cluster.Upstream(u)
	if err != nil {
		return nil, err
	}
	if p.cluster, err = resource.Make(u.Name, c); err != nil {
		return nil, err
	}
	p.cluster = same(before.cluster, p.cluster)
	if name := cluster.SecretName(u); name != "" {
		if p.secret = t.secrets[name]; p.secret == nil {
			if p.secret, err = resource.Make(name, cluster.Secret(u)); err != nil {
				return nil, err
			}
		}
	}
	if u.Protocol == policy.TCP {
		return p, nil // its calls are connections, which have a listener of their own
	}
	vh, err := route.VirtualHost(u)
	if err != nil {
		return nil, err
	}
	if p.virtualHost, err = resource.Make(vh.Name, vh); err != nil {
		return nil, err
	}
	p.virtualHost.Hosts, p.virtualHost.Takeovers = vh.Domains, route.Takeovers(vh)
	p.virtualHost = same(before.virtualHost, p.virtualHost)
	return p, nil
}

// same returns the resource that there was before, which may be nil, if it has the content of the new one. Equal things keep
// their pointer, so that lists of them are compared fast.
func same(before, now *Resource) *Resource {
	if before != nil && before.Name == now.Name && before.Version == now.Version {
		return before
	}
	return now
}

// Changed returns the names of the upstreams in which t differs from the translation before it, sorted. A nil translation has
// no upstreams.
func (t *Translation) Changed(before *Translation) []string {
	var names []string
	var rest []*part
	if before != nil {
		rest = before.parts
	}
	for _, p := range t.parts {
		for len(rest) > 0 && rest[0].upstream.Name < p.upstream.Name {
			names, rest = append(names, rest[0].upstream.Name), rest[1:]
		}
		if len(rest) > 0 && rest[0].upstream.Name == p.upstream.Name {
			if rest[0] != p {
				names = append(names, p.upstream.Name)
			}
			rest = rest[1:]
			continue
		}
		names = append(names, p.upstream.Name)
	}
	for _, p := range rest {
		names = append(names, p.upstream.Name)
	}
	return names
}

// For returns the resources of a proxy that calls the named upstreams, nil: all, and listens there. Names that the policy does
// not have make no difference. It leaves out the endpoints, which do not depend on the policy: see [Endpoints].
func (t *Translation) For(upstreams []string, listen netip.AddrPort) (rs Resources, err error) {
	at, parts := t.place(listen), t.parts
	if upstreams != nil {
		parts = t.named(upstreams)
	}
	var clusters, secrets, listeners, hosts []*Resource
	fallsBack, any := false, false
	for _, p := range parts {
		clusters = append(clusters, p.cluster)
		if p.secret != nil {
			secrets = append(secrets, p.secret)
		}
		if p.virtualHost == nil {
			l, err := at.connections(p, listen)
			if err != nil {
				return nil, fmt.Errorf("translating upstream %q: %w", p.upstream.Name, err)
			}
			listeners = append(listeners, l)
			continue
		}
		hosts = append(hosts, p.virtualHost)
		fallsBack = fallsBack || len(p.virtualHost.Takeovers) > 0
		any = any || slices.Contains(p.virtualHost.Hosts, route.AnyHost)
	}
	if fallsBack {
		if at.egress == nil {
			if at.egress, err = at.made(wire.EgressCluster, func() (valid, error) { return connect.Egress(listen) }); err != nil {
				return nil, fmt.Errorf("translating the cluster of fallbacks: %w", err)
			}
		}
		clusters = append(clusters, at.egress)
	}
	if !any {
		hosts = append(hosts, t.unknown)
	}
	if at.listener == nil {
		if at.listener, err = at.made(wire.EgressName, func() (valid, error) { return listener.Egress(listen, t.Replicas) }); err != nil {
			return nil, fmt.Errorf("translating the listener: %w", err)
		}
	}
	return Resources{
		ClusterType: t.Pool.List(clusters), SecretType: t.Pool.List(secrets), ListenerType: t.Pool.List(append(listeners, at.listener)),
		RouteType: t.routes, VirtualHostType: t.Pool.List(hosts),
	}, nil
}

// named returns the parts of the named upstreams, sorted, each once.
func (t *Translation) named(names []string) []*part {
	var parts []*part
	for _, name := range names {
		at, found := slices.BinarySearchFunc(t.parts, name, func(p *part, name string) int { return strings.Compare(p.upstream.Name, name) })
		if found {
			parts = append(parts, t.parts[at])
		}
	}
	slices.SortFunc(parts, func(a, b *part) int { return strings.Compare(a.upstream.Name, b.upstream.Name) })
	return slices.Compact(parts)
}

// place returns the resources of the proxies that listen there.
func (t *Translation) place(listen netip.AddrPort) *place {
	if t.places[listen] == nil {
		t.places[listen] = &place{tcp: map[*part]*Resource{}}
	}
	return t.places[listen]
}

// Bytes returns the size of the resources that only proxies at an address share.
func (t *Translation) Bytes(listen netip.AddrPort) int {
	if p := t.places[listen]; p != nil {
		return p.bytes
	}
	return 0
}

// Leave drops the resources of the proxies that listen there. There are no such proxies any longer.
func (t *Translation) Leave(listen netip.AddrPort) { delete(t.places, listen) }

// connections returns the listener of an upstream whose protocol is TCP.
func (p *place) connections(of *part, listen netip.AddrPort) (*Resource, error) {
	if r := p.tcp[of]; r != nil {
		return r, nil
	}
	r, err := p.made(wire.TCPListener(of.upstream.Name), func() (valid, error) { return listener.TCP(of.upstream, listen) })
	if err != nil {
		return nil, err
	}
	p.tcp[of] = r
	return r, nil
}

// made makes a resource of the place.
func (p *place) made(name string, build func() (valid, error)) (*Resource, error) {
	m, err := build()
	if err != nil {
		return nil, err
	}
	r, err := resource.Make(name, m)
	if err == nil {
		p.bytes += len(r.Value())
	}
	return r, err
}
