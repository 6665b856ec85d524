package telemetry

import (
	"net/netip"
	"slices"
	"strings"

	"breakwater.dev/telemetry/internal/ejections"
)

// outliers are the upstreams whose endpoints are judged for all proxies, in order of name.
func (t *Telemetry) outliers() []ejections.Status {
	var all []ejections.Status
	for _, o := range t.options.Outliers() {
		all = append(all, ejections.Status(o))
	}
	slices.SortFunc(all, func(a, b ejections.Status) int { return strings.Compare(a.Upstream, b.Upstream) })
	return all
}

// ejectedJSON is one upstream that has endpoints out of rotation.
type ejectedJSON struct {
	Service   string           `json:"service"`
	Endpoints int              `json:"endpoints"` // all, the ejected ones included
	Ejected   []netip.AddrPort `json:"ejected"`
}

// ejected lists what is out of rotation for all proxies. It is about endpoints, and
// says nothing of the state of a breaker, which an upstream need not even have.
func (t *Telemetry) ejected() []ejectedJSON {
	list := []ejectedJSON{}
	for _, o := range t.outliers() {
		if len(o.Ejected) == 0 {
			continue
		}
		endpoints := slices.Clone(o.Ejected)
		slices.SortFunc(endpoints, netip.AddrPort.Compare)
		list = append(list, ejectedJSON{o.Upstream, o.Endpoints, endpoints})
	}
	return list
}
