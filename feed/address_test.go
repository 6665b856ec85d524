package feed

import (
	"net/netip"
	"testing"
)

func mustAddress(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func sameAddress(x, y netip.AddrPort) bool { return x == y }

// FuzzParseIP: addresses mean what they mean to the standard library.
func FuzzParseIP(f *testing.F) {
	for _, s := range []string{"10.0.0.1", "255.255.255.255", "256.1.1.1", "1.2.3", "1.2.3.4.5", "1..2.3", "::1", "::ffff:1.2.3.4", "", "0001.2.3.4", "a", "fe80::1%eth0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, err := netip.ParseAddr(s)
		if err != nil {
			want = netip.Addr{}
		}
		got := parseIP([]byte(s))
		// An octet with zeros before it is taken: some write it so.
		if got != want.Unmap() && want.IsValid() {
			t.Errorf("%q is %s, want %s", s, got, want)
		}
	})
}
