package guard

import (
	"net"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/credentials"
)

// Listen returns a listener for the port of proxies. Its server has to use [Guard.Credentials].
func (g *Guard) Listen(l net.Listener) net.Listener { return g.door.Listen(l) }

// Credentials returns credentials that make handshakes as inner does, and know the peer of
// each connection afterwards.
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
	p := g.meet(raw.RemoteAddr(), auth)
	if err := p.connect(); err != nil {
		g.leave(p.account)
		g.door.leave(raw)
		_ = secured.Close() // the error says why
		return nil, nil, err
	}
	c := &conn{Conn: secured, raw: raw, peer: p}
	g.mu.Lock()
	g.conns[c] = true
	g.mu.Unlock()
	if !g.door.holds(raw, c.drop) {
		_ = c.drop() // the door has closed it already
		return nil, nil, net.ErrClosed
	}
	p.close = func() { _ = c.drop() } // it is the peer that is to find out
	return c, info{auth, p}, nil
}

// conn is a connection whose handshake is over.
type conn struct {
	net.Conn
	raw      net.Conn
	peer     *Peer
	spoke    atomic.Bool
	received atomic.Int64 // bytes, of late
	once     sync.Once
}

// Read implements [net.Conn].
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.received.Add(int64(n))
	if n > 0 && !c.spoke.Load() {
		c.spoke.Store(true)
		c.peer.guard.door.busy(c.raw)
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
	c.giveBack()
	return c.Conn.Close()
}

// drop is Close without a word to the peer, which could keep us waiting.
func (c *conn) drop() error {
	c.giveBack()
	return c.raw.Close()
}

// giveBack gives back, once, what the connection takes. Whoever closes it has to call it: gRPC
// itself closes the raw connection alone, if it finds that one closed before it begins to serve.
func (c *conn) giveBack() {
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
