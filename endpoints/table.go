package endpoints

import (
	"net/netip"
	"slices"

	"breakwater.dev/policy"
)

// Table has the endpoints of upstreams, and which of them are ejected, by the name of the upstream. The two parts come from
// different sources, so a change of one leaves the other alone: an ejection may come before its endpoint, and stays when
// the endpoint goes.
//
// A table never changes. Methods that change one return another table, which shares all other upstreams with it. The zero
// value has no endpoints and no ejections.
type Table struct {
	endpoints byName[[]policy.Endpoint]
	ejected   byName[[]netip.AddrPort] // sorted, each once; no empty lists
}

// Upstream is a table's content for one upstream. Its lists must not be changed.
type Upstream struct {
	Endpoints []policy.Endpoint // in the order in which proxies get them
	// Ejected are the endpoints that must get no requests, sorted, each once. The upstream may lack some of them.
	Ejected []netip.AddrPort
}

// IsEjected reports whether an endpoint must get no requests.
func (u Upstream) IsEjected(e policy.Endpoint) bool {
	_, ejected := slices.BinarySearchFunc(u.Ejected, netip.AddrPortFrom(e.Address, e.Port), netip.AddrPort.Compare)
	return ejected
}

// FromSet returns the table of the endpoints that a set has. It has no upstreams that are found by DNS, and no ejections.
func FromSet(set *policy.Set) *Table {
	t := &Table{}
	for _, u := range set.Upstreams {
		if u.DNS == nil {
			t.endpoints.put(u.Name, u.Endpoints, len(set.Upstreams)/parts)
		}
	}
	return t
}

// Upstream returns the content for an upstream, and whether the table has endpoints for it. A table can know that an upstream
// has no endpoint.
func (t *Table) Upstream(upstream string) (u Upstream, known bool) {
	u.Ejected, _ = t.ejected.get(upstream)
	u.Endpoints, known = t.endpoints.get(upstream)
	return u, known
}

// With returns a table in which these are the endpoints of an upstream. It is t itself if they are already.
func (t *Table) With(upstream string, all []policy.Endpoint) *Table {
	if had, known := t.endpoints.get(upstream); known && slices.Equal(had, all) {
		return t
	}
	next := *t
	next.endpoints.replace(upstream, slices.Clone(all))
	return &next
}

// Eject returns a table in which these are the ejected endpoints of an upstream. It is t itself if they are already.
func (t *Table) Eject(upstream string, ejected []netip.AddrPort) *Table {
	ejected = slices.SortedFunc(slices.Values(ejected), netip.AddrPort.Compare)
	ejected = slices.Compact(ejected)
	had, _ := t.ejected.get(upstream)
	if slices.Equal(had, ejected) {
		return t
	}
	next := *t
	if len(ejected) == 0 {
		next.ejected.remove(upstream)
	} else {
		next.ejected.replace(upstream, ejected)
	}
	return &next
}

// EjectAs returns a table with the endpoints of t and the ejections of another table.
func (t *Table) EjectAs(other *Table) *Table {
	return &Table{endpoints: t.endpoints, ejected: other.ejected}
}

// Ejecting returns the names of the upstreams that have ejections, sorted.
func (t *Table) Ejecting() []string { return t.ejected.names() }
