package xds

import (
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"breakwater.dev/policy"
)

// TestEnvoySecuresConnections shows that a connection to an upstream of protocol TCP can be secured by TLS, whatever
// protocols the server negotiates: none is offered, because the proxy does not know what the application speaks.
func TestEnvoySecuresConnections(t *testing.T) {
	pair := certificate(t)
	cert, err := tls.LoadX509KeyPair(pair.certFile, pair.keyFile)
	if err != nil {
		t.Fatal(err)
	}
	for name, protocols := range map[string][]string{"none": nil, "http/1.1": {"http/1.1"}, "both": {"h2", "http/1.1"}} {
		t.Run(name, func(t *testing.T) {
			server, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: protocols})
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			negotiated := make(chan string, 1)
			go func() {
				c, err := server.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				said := make([]byte, 5)
				if _, err := io.ReadFull(c, said); err != nil {
					negotiated <- "an error: " + err.Error()
					return
				}
				negotiated <- c.(*tls.Conn).ConnectionState().NegotiatedProtocol
				_, _ = c.Write(said)
			}()
			u := webUpstream("db", server.Addr().(*net.TCPAddr).AddrPort().Port(), policy.TCP, policy.Route{Timeout: time.Second})
			u.Hosts, u.Port, u.TLS = nil, refusingPort(t), &policy.TLS{SNI: "localhost", CAFile: pair.certFile}
			startEnvoy(t, &policy.Set{Upstreams: []*policy.Upstream{u}}, refusingPort(t))
			c, err := net.Dial("tcp", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), u.Port).String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(c); string(got) != "hello" {
				t.Errorf("got %q, %v, want hello", got, err)
			}
			if got := <-negotiated; got != "" {
				t.Errorf("the server was offered %q, want no protocol", got)
			}
		})
	}
}
