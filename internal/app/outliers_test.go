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

// TestReloadBesideAnEjection: an endpoint is ejected while a reload is about to send the ejections that it has read before.
func TestReloadBesideAnEjection(t *testing.T) {
	set := typical.Set("1", "a")
	u := set.Upstreams[0]
	config := outlier.DefaultConfig()
	config.Scope, config.Consecutive5xxErrors, config.MaxEjectionPercent = outlier.Mesh, 1, 100
	u.Outlier = &config
	first := netip.MustParseAddrPort("10.0.0.1:8080")
	u.Endpoints = []policy.Endpoint{{Address: first.Addr(), Port: first.Port()}}
	proxies := &ejections{}
	o := newOutliers(driver.NewClock(), proxies, slog.New(slog.DiscardHandler))
	o.apply(set)
	proxies.meanwhile = func() {
		o.report("a", []outlier.Outcome{{Endpoint: first, Class: outlier.ServerError, At: o.clock.Now(), Calls: 1}})
	}
	o.apply(set)
	if want := []netip.AddrPort{first}; !slices.Equal(proxies.last, want) {
		t.Errorf("proxies were sent %v as ejected last, want %v", proxies.last, want)
	}
}
