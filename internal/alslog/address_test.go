package alslog

import (
	"net/netip"
	"testing"
)

// FuzzParseIP: an address means what it means to the standard library.
func FuzzParseIP(f *testing.F) {
	for _, s := range []string{
		"10.0.0.1", "255.255.255.255", "256.1.1.1", "1.2.3", "1.2.3.4.5", "1..2.3", "0001.2.3.4", "a", "",
		"::", "::1", "1::", "2001:db8::8:800:200C:417a", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:8::", "1::2::3", ":1", "1:", "1:2",
		"12345::", "::ffff:1.2.3.4", "::ffff:102:304", "fe80::1%eth0", "::g",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, err := netip.ParseAddr(s)
		if err != nil {
			want = netip.Addr{}
		}
		got := parseIP([]byte(s))
		// Zeros before a number are allowed here: some write addresses so.
		if got != want.Unmap() && (want.IsValid() || !got.Is4()) {
			t.Errorf("%q is %s, want %s", s, got, want)
		}
	})
}
