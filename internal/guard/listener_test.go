package guard

import (
	"io"
	"log/slog"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// hooked is credentials that call a function before the handshake, and one after it.
type hooked struct {
	credentials.TransportCredentials
	before, after func()
}

func (h hooked) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	h.before()
	defer h.after()
	return h.TransportCredentials.ServerHandshake(raw)
}

func (h hooked) Clone() credentials.TransportCredentials { return h }

// serving is a gRPC server with a guard that allows two connections.
type serving struct {
	guard   *Guard
	server  *grpc.Server
	address string
}

// serve starts a server with the credentials that wrap makes. It stops when the test ends.
func serve(t *testing.T, wrap func(g *Guard, inner credentials.TransportCredentials) credentials.TransportCredentials) *serving {
	t.Helper()
	g := New(Options{Memory: 8 << 20, Connections: 2, Log: slog.New(slog.DiscardHandler)})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &serving{g, grpc.NewServer(grpc.Creds(wrap(g, insecure.NewCredentials()))), l.Addr().String()}
	done := make(chan error, 1)
	go func() { done <- s.server.Serve(g.Listen(l)) }()
	t.Cleanup(func() {
		s.server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *serving) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // the test may have closed it already
	return c
}

// wantEmpty stops the server, which waits for its connections to end. It then checks that the guard counts no
// connection and no memory.
func (s *serving) wantEmpty(t *testing.T) {
	t.Helper()
	s.server.Stop()
	g := s.guard
	if held := g.held.Load(); held != 0 || len(g.conns) > 0 || len(g.door.open) > 0 || len(g.door.perAddress) > 0 {
		t.Errorf("the guard counts %d bytes and %d connections, and its door %d connections; want none", held, len(g.conns), len(g.door.open))
	}
	for _, a := range g.accounts {
		if a.connections != 0 {
			t.Errorf("%s has %d connections", a.key, a.connections)
		}
	}
}

// TestEvictedConnectionsReleaseTheirMemory shows that a connection uses no memory after the door has closed it, in every
// stage of its life.
func TestEvictedConnectionsReleaseTheirMemory(t *testing.T) {
	nothing := func() {}
	other := func(g *Guard) func() { // opens another connection, which evicts the idle one, and closes it
		return func() {
			ours, theirs := net.Pipe()
			defer func() { _, _ = ours.Close(), theirs.Close() }()
			c := from{ours, somewhere}
			g.door.enter(c)
			g.door.leave(c)
		}
	}
	for name, wrap := range map[string]func(*Guard, credentials.TransportCredentials) credentials.TransportCredentials{
		"before the handshake": func(g *Guard, inner credentials.TransportCredentials) credentials.TransportCredentials {
			return g.Credentials(hooked{inner, other(g), nothing})
		},
		"before it is counted": func(g *Guard, inner credentials.TransportCredentials) credentials.TransportCredentials {
			return g.Credentials(hooked{inner, nothing, other(g)})
		},
		"before it is served": func(g *Guard, inner credentials.TransportCredentials) credentials.TransportCredentials {
			return hooked{g.Credentials(inner), nothing, other(g)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, wrap)
			if _, err := io.Copy(io.Discard, s.dial(t)); err != nil {
				t.Logf("the connection ended with %v", err)
			}
			s.wantEmpty(t)
			if s.guard.refused(Connection, Idle) != 1 {
				t.Errorf("refused: %v", s.guard.Refused())
			}
		})
	}
}

// TestManyConnectionsLeaveNothing opens many connections, each of which evicts the one before it.
func TestManyConnectionsLeaveNothing(t *testing.T) {
	s := serve(t, (*Guard).Credentials)
	const many = 500
	for range many {
		s.dial(t)
	}
	last := s.dial(t) // is served after all others were accepted
	if _, err := last.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if got := s.guard.refused(Connection, Idle); got != many {
		t.Errorf("%d gave way, want %d", got, many)
	}
	_ = last.Close() // otherwise the server would wait for its first bytes
	s.wantEmpty(t)
}

// TestConn shows that the guard counts the bytes that a connection reads and writes, and that closing it twice releases
// its memory once.
func TestConn(t *testing.T) {
	g, _ := newGuard(t)
	ours, theirs := net.Pipe()
	defer theirs.Close()
	if !g.door.enter(ours) {
		t.Fatal("the door has no room for the connection")
	}
	secured, auth, err := g.Credentials(insecure.NewCredentials()).ServerHandshake(ours)
	if err != nil {
		t.Fatal(err)
	}
	p := auth.(peerInfo).peer
	if err := p.Queue(100, 120); err != nil {
		t.Fatal(err)
	}
	if held := g.held.Load(); held != ConnectionBytes+120 || g.door.idle.Len() != 1 {
		t.Errorf("%d bytes are held, %d connections are idle", held, g.door.idle.Len())
	}
	go func() {
		_, _ = theirs.Write([]byte("PRI"))
		_, _ = io.CopyN(io.Discard, theirs, 100)
	}()
	if n, err := secured.Read(make([]byte, 9)); n != 3 || err != nil || g.door.idle.Len() != 0 {
		t.Errorf("read %d bytes, %v; %d connections are idle", n, err, g.door.idle.Len())
	}
	if n, err := secured.Write(make([]byte, 100)); n != 100 || err != nil {
		t.Errorf("wrote %d bytes, %v", n, err)
	}
	if held := g.held.Load(); held != ConnectionBytes {
		t.Errorf("%d bytes are held after everything is written, want %d", held, ConnectionBytes)
	}
	if err := p.Queue(100, 120); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_ = secured.Close()
	}
	p.close()
	if held := g.held.Load(); held != 0 || p.account.connections != 0 || len(g.door.open) != 0 {
		t.Errorf("%d bytes are held, by %d connections; %d are open", held, p.account.connections, len(g.door.open))
	}
}
