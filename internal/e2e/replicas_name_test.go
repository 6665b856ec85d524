package e2e

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// nameServer answers each question about a name with the addresses that a test has set. They hold for a second.
type nameServer struct {
	address   netip.AddrPort
	addresses atomic.Pointer[[]string]
}

func newNameServer(t *testing.T, ip string) *nameServer {
	t.Helper()
	c, err := net.ListenPacket("udp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatal(err)
	}
	s := &nameServer{address: c.LocalAddr().(*net.UDPAddr).AddrPort()}
	s.set()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for buffer := make([]byte, 4096); ; {
			n, from, err := c.ReadFrom(buffer)
			if err != nil {
				return
			}
			if answer, err := s.answer(buffer[:n]); err == nil {
				_, _ = c.WriteTo(answer, from) // a proxy that gets no answer asks again
			}
		}
	}()
	t.Cleanup(func() {
		c.Close()
		<-done
	})
	return s
}

func (s *nameServer) set(addresses ...string) { s.addresses.Store(&addresses) }

func (s *nameServer) answer(question []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(question); err != nil {
		return nil, err
	}
	m.Response, m.Additionals = true, nil
	for _, q := range m.Questions {
		if q.Type != dnsmessage.TypeA {
			continue
		}
		for _, a := range *s.addresses.Load() {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1},
				Body:   &dnsmessage.AResource{A: netip.MustParseAddr(a).As4()},
			})
		}
	}
	return m.Pack()
}

// resolverOption is the last option of a resolver of names in a bootstrap.
var resolverOption = regexp.MustCompile(`(?m)^( *)query_tries: .*$`)

// asking has a bootstrap ask the server, in place of the machine's name servers.
func (s *nameServer) asking(bootstrap string) string {
	return resolverOption.ReplaceAllString(bootstrap, fmt.Sprintf("$0\n${1}resolvers: [{socket_address: {address: %s, port_value: %d}}]",
		s.address.Addr(), s.address.Port()))
}

// TestReplicasByNameAndAddress shows that a proxy uses each address of a name, and an address beside it, that each replica may
// prove any of these, and that the proxy uses a replica that joins the name.
func TestReplicasByNameAndAddress(t *testing.T) {
	t.Parallel()
	const name = "control-plane.example"
	ca, u, names := newAuthority(t), newUpstream(t, ownIP(t)), newNameServer(t, ownIP(t))
	policyText := service("asks", u.address) + guard("asks")
	var all []*mesh
	for i := range 3 {
		m := prepareMesh(t, ownIP(t), policyText)
		certificate := fmt.Sprint("replica-", i)
		if i < 2 {
			ca.Issue(t, certificate, "", func(c *x509.Certificate) { c.DNSNames = []string{name} })
		} else {
			ca.Issue(t, certificate, m.ip)
		}
		m.startControl(t, "--tls-cert", ca.Path(certificate+".pem"), "--tls-key", ca.Path(certificate+".key"), "--tls-client-ca", ca.Path("ca.pem"))
		all = append(all, m)
	}
	first, joining, proxy := all[0], all[1], all[2]
	ca.Issue(t, "proxy", "")
	names.set(first.ip)
	proxy.runEnvoy(t, names.asking(proxy.bootstrap(t, "--xds", name+":18000", "--xds", proxy.ip+":18000",
		"--tls-ca", ca.Path("ca.pem"), "--tls-cert", ca.Path("proxy.pem"), "--tls-key", ca.Path("proxy.key"))))
	l := proxy.loadOf(t, "asks", 2, func(r reply) bool { return r.status == http.StatusOK })
	decides := func(m *mesh) {
		t.Helper()
		eventually(t, "the replica at "+m.ip+" decides on calls", func() error {
			if n := m.breaker(t, "asks").Counts.Requests; n < 10 {
				return fmt.Errorf("it has decided on %d", n)
			}
			return nil
		})
	}
	decides(first)
	decides(proxy)
	if n := joining.breaker(t, "asks").Counts.Requests; n > 0 {
		t.Errorf("a replica that the proxy does not know has decided on %d calls", n)
	}
	names.set(first.ip, joining.ip)
	decides(joining)
	l.clean(t)
}
