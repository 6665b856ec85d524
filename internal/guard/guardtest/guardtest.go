// Package guardtest connects proxies to a guard without a network.
//
// In: a guard, and the workload that a proxy's certificate names.
// Out: the context of the proxy's streams, and whether the guard closed its connection.
// Called by: tests of the services that ask a guard.
// Never: opens a socket; so it works in a bubble of testing/synctest.
// Concurrency: functions are safe for concurrent use.
package guardtest

import (
	"context"
	"crypto/x509"
	"net"
	"net/url"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"breakwater.dev/internal/guard"
)

// Rules is the rule that fits the certificates of [Connect].
const Rules = "spiffe://{any}/ns/{any}/sa/{workload}"

// Proxy is a connected proxy.
type Proxy struct {
	// Info is the result of the handshake.
	Info credentials.AuthInfo
	*connection
}

// Connect connects a proxy of a workload to the guard, and makes its handshake.
func Connect(t testing.TB, g *guard.Guard, workload string) *Proxy {
	t.Helper()
	c := &connection{}
	raw, err := g.Listen(c).Accept()
	if err != nil {
		t.Fatal(err)
	}
	_, info, err := g.Credentials(handshake{workload: workload}).ServerHandshake(raw)
	if err != nil {
		t.Fatal(err)
	}
	return &Proxy{info, c}
}

// Context returns the context of a stream of the proxy, derived from ctx.
func (p *Proxy) Context(ctx context.Context) context.Context {
	return peer.NewContext(ctx, &peer.Peer{AuthInfo: p.Info})
}

// Peer returns the guard's peer for the proxy.
func (p *Proxy) Peer() *guard.Peer { return guard.PeerFrom(p.Context(context.Background())) }

// Closed reports whether the guard has closed the connection.
func (p *Proxy) Closed() bool { return p.closed.Load() }

// handshake is credentials whose client presents the certificate of a workload.
type handshake struct {
	credentials.TransportCredentials
	workload string
}

func (s handshake) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	u, err := url.Parse("spiffe://c/ns/n/sa/" + s.workload)
	info := credentials.TLSInfo{}
	info.State.PeerCertificates = []*x509.Certificate{{URIs: []*url.URL{u}}}
	return c, info, err
}

// connection is a connection without traffic, and a listener that accepts it.
type connection struct {
	net.Conn
	closed atomic.Bool
}

// Accept implements [net.Listener].
func (c *connection) Accept() (net.Conn, error) { return c, nil }

// Addr implements [net.Listener].
func (c *connection) Addr() net.Addr { return c.RemoteAddr() }

// RemoteAddr implements [net.Conn].
func (*connection) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 4} }

// Close implements [net.Conn].
func (c *connection) Close() error {
	c.closed.Store(true)
	return nil
}
