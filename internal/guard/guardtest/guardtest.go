// Package guardtest connects proxies to a guard without a network.
//
// In: a guard, and the workload that a proxy's certificate names.
// Out: the context that the proxy's streams have, and whether the guard closed its connection.
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

// Rules are those of the certificates that Connect shows.
const Rules = "spiffe://{any}/ns/{any}/sa/{workload}"

// Proxy is one that is connected.
type Proxy struct {
	// Info is what the handshake came to.
	Info credentials.AuthInfo
	*connection
}

// Connect has a proxy of a workload make its handshake.
func Connect(t testing.TB, g *guard.Guard, workload string) *Proxy {
	t.Helper()
	c := &connection{}
	raw, err := g.Listen(c).Accept()
	if err != nil {
		t.Fatal(err)
	}
	_, info, err := g.Credentials(shown{workload: workload}).ServerHandshake(raw)
	if err != nil {
		t.Fatal(err)
	}
	return &Proxy{info, c}
}

// Context returns ctx as that of a stream of the proxy.
func (p *Proxy) Context(ctx context.Context) context.Context {
	return peer.NewContext(ctx, &peer.Peer{AuthInfo: p.Info})
}

// Peer is what the guard knows of the proxy.
func (p *Proxy) Peer() *guard.Peer { return guard.Of(p.Context(context.Background())) }

// Closed tells whether the guard has closed the connection.
func (p *Proxy) Closed() bool { return p.closed.Load() }

// shown is a handshake in which the client shows the certificate of a workload.
type shown struct {
	credentials.TransportCredentials
	workload string
}

func (s shown) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	u, err := url.Parse("spiffe://c/ns/n/sa/" + s.workload)
	info := credentials.TLSInfo{}
	info.State.PeerCertificates = []*x509.Certificate{{URIs: []*url.URL{u}}}
	return c, info, err
}

// connection is one on which nothing is said, and a listener that accepts it.
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
