package guard

import (
	"net"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/credentials"
)

// Listen returns a listener for the port of proxies. Its server must use [Guard.Credentials].
func (g *Guard) Listen(l net.Listener) net.Listener { return g.door.Listen(l) }

// Credentials returns credentials that make handshakes as inner does. They attach a [Peer] to each connection, which
// [PeerFrom] returns to the services, and refuse connections that exceed a bound.
func (g *Guard) Credentials(inner credentials.TransportCredentials) credentials.TransportCredentials {
	return transport{inner, g}
}

type transport struct {
	credentials.TransportCredentials
	guard *Guard
}

// Clone implements [credentials.TransportCredentials].
func (t transport) Clone() credentials.TransportCredentials {
	return transport{t.TransportCredentials.Clone(), t.guard}
}

// ServerHandshake implements [credentials.TransportCredentials].
func (t transport) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	g := t.guard
	secured, auth, err := t.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		g.door.leave(raw)
		return nil, nil, err
	}
	p := g.newPeer(raw.RemoteAddr(), auth)
	if err := p.connect(); err != nil {
		g.leave(p.account)
		g.door.leave(raw)
		_ = secured.Close() // err is the reason
		return nil, nil, err
	}
	c := &conn{Conn: secured, raw: raw, peer: p}
	g.mu.Lock()
	g.conns[c] = true
	g.mu.Unlock()
	if !g.door.setClose(raw, c.drop) {
		_ = c.drop() // the door has closed raw already
		return nil, nil, net.ErrClosed
	}
	p.close = func() { _ = c.drop() } // an error concerns only the peer
	return c, peerInfo{auth, p}, nil
}

// conn is a connection whose handshake is over.
type conn struct {
	net.Conn
	raw      net.Conn // the connection without TLS, which the door knows
	peer     *Peer
	spoke    atomic.Bool  // the peer has sent something
	received atomic.Int64 // bytes, fewer as time passes; see Guard.shed
	once     sync.Once    // for release
}

// Read implements [net.Conn].
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.received.Add(int64(n))
	if n > 0 && !c.spoke.Load() {
		c.spoke.Store(true)
		c.peer.guard.door.markBusy(c.raw)
	}
	return n, err
}

// Write implements [net.Conn].
func (c *conn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.peer.wrote(int64(n))
	return n, err
}

// Close implements [net.Conn].
func (c *conn) Close() error {
	c.release()
	return c.Conn.Close()
}

// drop closes the connection without a TLS goodbye, since a peer that does not read could delay it.
func (c *conn) drop() error {
	c.release()
	return c.raw.Close()
}

// release returns the memory and the places of the connection, once. Every way to close the connection must call it,
// because gRPC may close only raw: it does so when raw is closed before gRPC begins to serve it.
func (c *conn) release() {
	c.once.Do(func() {
		g := c.peer.guard
		g.mu.Lock()
		delete(g.conns, c)
		g.mu.Unlock()
		g.door.leave(c.raw)
		c.peer.Give(Connection, ConnectionBytes)
		c.peer.GiveData(c.peer.queue.end())
		g.leave(c.peer.account)
	})
}
