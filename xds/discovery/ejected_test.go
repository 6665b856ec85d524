package discovery

import (
	"net/netip"
	"testing"
)

func eject(t fatal, s *Server, upstream string, endpoints ...string) {
	t.Helper()
	var out []netip.AddrPort
	for _, e := range endpoints {
		out = append(out, netip.MustParseAddrPort(e))
	}
	if err := s.Eject(upstream, out); err != nil {
		t.Fatalf("ejecting: %v", err)
	}
}

var _ = testing.Short
