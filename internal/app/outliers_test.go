package app

import (
	"log/slog"
	"net/netip"
	"slices"
	"testing"

	"breakwater.dev/internal/driver"
	"breakwater.dev/internal/typical"
	"breakwater.dev/outlier"
	"breakwater.dev/policy"
)

// ejections keeps the ejected endpoints that proxies were sent last.
type ejections struct {
	meanwhile func() // is called, once, before the endpoints are kept
	last      []netip.AddrPort
}

func (e *ejections) Eject(_ string, endpoints []netip.AddrPort) error {
	if f := e.meanwhile; f != nil {
		e.meanwhile = nil
		f()
	}
	e.last = endpoints
	return nil
}

// judged returns a set with an upstream whose endpoint is judged for all proxies together.
func judged(name string, endpoint netip.AddrPort) *policy.Set {
	set := typical.Set("1", name)
	config := outlier.DefaultConfig()
	config.Scope, config.Consecutive5xxErrors, config.MaxEjectionPercent = outlier.Mesh, 1, 100
	u := set.Upstreams[0]
	u.Outlier, u.Endpoints = &config, []policy.Endpoint{{Address: endpoint.Addr(), Port: endpoint.Port()}}
	return set
}

// TestReloadOfOtherUpstreams: a change of an upstream that is not judged sends no ejections, and leaves the detector as it is.
func TestReloadOfOtherUpstreams(t *testing.T) {
	endpoint := netip.MustParseAddrPort("10.0.0.1:8080")
	proxies := &ejections{}
	o := newOutliers(driver.NewClock(), proxies, slog.New(slog.DiscardHandler))
	set := judged("a", endpoint)
	o.apply(set)
	o.report("a", []outlier.Outcome{{Endpoint: endpoint, Class: outlier.ServerError, At: o.clock.Now(), Calls: 1}})
	proxies.meanwhile = func() { t.Error("ejections were sent") }
	next := typical.Set("2", "b")
	next.Upstreams = append([]*policy.Upstream{set.Upstreams[0]}, next.Upstreams...)
	o.apply(next)
	if got := o.detector.Ejected("a"); len(got) != 1 {
		t.Errorf("%v is ejected, want %s", got, endpoint)
	}
	proxies.meanwhile = nil
	next = typical.Set("3", "b")
	o.apply(next)
	if got := o.detector.Snapshot(); len(got) > 0 || len(proxies.last) > 0 {
		t.Errorf("of an upstream that is gone, proxies were sent %v as ejected; judged are %v", proxies.last, got)
	}
}

// TestReloadBesideAnEjection: an endpoint is ejected while a reload is about to send the ejections that it has read before.
func TestReloadBesideAnEjection(t *testing.T) {
	first := netip.MustParseAddrPort("10.0.0.1:8080")
	proxies := &ejections{}
	o := newOutliers(driver.NewClock(), proxies, slog.New(slog.DiscardHandler))
	o.apply(judged("a", first))
	proxies.meanwhile = func() {
		o.report("a", []outlier.Outcome{{Endpoint: first, Class: outlier.ServerError, At: o.clock.Now(), Calls: 1}})
	}
	o.apply(judged("a", first))
	if want := []netip.AddrPort{first}; !slices.Equal(proxies.last, want) {
		t.Errorf("proxies were sent %v as ejected last, want %v", proxies.last, want)
	}
}
