package connect

import (
	"net/netip"
	"testing"
)

// TestEgressIsReachable: a proxy that listens at all addresses calls itself on loopback.
func TestEgressIsReachable(t *testing.T) {
	for listen, want := range map[string]string{
		"127.0.0.1:10000": "127.0.0.1:10000", "0.0.0.0:10000": "127.0.0.1:10000", "10.0.0.7:1": "10.0.0.7:1", "[::]:10000": "[::1]:10000", "[fd00::1]:2": "[fd00::1]:2",
	} {
		c, err := Egress(netip.MustParseAddrPort(listen))
		if err != nil {
			t.Fatal(err)
		}
		socket := c.LoadAssignment.Endpoints[0].LbEndpoints[0].GetEndpoint().Address.GetSocketAddress()
		if got := netip.AddrPortFrom(netip.MustParseAddr(socket.Address), uint16(socket.GetPortValue())).String(); got != want {
			t.Errorf("one that listens at %s calls itself at %s, want %s", listen, got, want)
		}
	}
}

// TestNamed: an address is compared in the form in which Envoy writes it, and is no server name.
func TestNamed(t *testing.T) {
	for name, want := range map[string]string{"a.example": "a.example", "FD00:0::1": "fd00::1", "::ffff:10.0.0.2": "10.0.0.2"} {
		if got := Named(name).MatchTypedSubjectAltNames[0].Matcher.GetExact(); got != want {
			t.Errorf("%s has to be proven as %q, want %q", name, got, want)
		}
	}
}
