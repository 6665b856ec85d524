package testca

import (
	"crypto/x509"
	"net"
	"testing"
)

func TestIssue(t *testing.T) {
	ca, stranger := New(t), New(t)
	pair := ca.Pair(t, "server", "127.0.0.9", func(c *x509.Certificate) { c.DNSNames = []string{"a.example"} })
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: ca.Pool(), DNSName: "a.example"}); err != nil {
		t.Errorf("who trusts the authority: %v", err)
	}
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: stranger.Pool()}); err == nil {
		t.Error("another authority vouches for it")
	}
	if ips := pair.Leaf.IPAddresses; len(ips) != 1 || !ips[0].Equal(net.IPv4(127, 0, 0, 9)) {
		t.Errorf("it is for %v", ips)
	}
	ca.Issue(t, "server", "127.0.0.9")
	if again := ca.Pair(t, "client", ""); len(again.Leaf.IPAddresses) != 0 || again.Leaf.SerialNumber.Int64() != 4 {
		t.Errorf("the fourth certificate has number %v, and is for %v", again.Leaf.SerialNumber, again.Leaf.IPAddresses)
	}
}
