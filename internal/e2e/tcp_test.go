package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// echoServer is a service that does not speak HTTP. It answers each line with the same line.
type echoServer struct {
	address     string
	connections atomic.Int64
	listener    net.Listener
	mode        atomic.Int32
}

// The modes of an echoServer.
const (
	echoes int32 = iota
	resets       // resets the connection when it has read a line
	closes       // closes the connection when it has read a line
)

func newEchoServer(t *testing.T, ip string, mode int32) *echoServer {
	t.Helper()
	s := &echoServer{address: net.JoinHostPort(ip, "0")}
	s.mode.Store(mode)
	s.start(t)
	t.Cleanup(func() { s.listener.Close() })
	return s
}

func (s *echoServer) start(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	s.address, s.listener = l.Addr().String(), l
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.connections.Add(1)
			go s.serve(c.(*net.TCPConn))
		}
	}()
}

func (s *echoServer) serve(c *net.TCPConn) {
	defer c.Close()
	lines := bufio.NewReader(c)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		switch s.mode.Load() {
		case resets:
			_ = c.SetLinger(0) // makes Close reset the connection
			return
		case closes:
			return
		}
		if _, err := io.WriteString(c, line); err != nil {
			return
		}
	}
}

// dialEcho connects through the proxy and sends a line. It returns the open connection, or an error if there is no answer.
func dialEcho(address string) (net.Conn, error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	err = echo(c)
	if err != nil {
		c.Close()
	}
	return c, err
}

// echo sends a line over a connection, and waits for the answer.
func echo(c net.Conn) error {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, "hello\n"); err != nil {
		return err
	}
	if got, err := bufio.NewReader(c).ReadString('\n'); err != nil || got != "hello\n" {
		return fmt.Errorf("got %q: %w", got, err)
	}
	return nil
}

// database returns an Upstream named db with protocol TCP, as YAML.
func database(address string) string {
	return service("db", address, "protocol: TCP", "port: 15432")
}

// TestTCP shows that a breaker trips by connections that cannot be established. An open breaker rejects new connections, and does
// not disturb established ones. New connections close it.
func TestTCP(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	s := newEchoServer(t, ip, echoes)
	m := newMesh(t, ip, database(s.address)+adaptive("db",
		"breaker: {consecutiveFailures: 3, failureRateThreshold: 0%, waitDurationInOpenState: 2s, successThreshold: 2}"))
	proxy := ip + ":15432"
	var kept net.Conn
	eventually(t, "the proxy listens", func() (err error) {
		kept, err = dialEcho(proxy)
		return err
	})
	defer kept.Close()
	m.counted(t, "db", "successes", 1)
	s.listener.Close()
	for i := range 3 {
		if c, err := dialEcho(proxy); err == nil {
			c.Close()
			t.Fatal("connected to a service that does not listen")
		}
		m.counted(t, "db", "failures", i+1)
	}
	m.state(t, "db", "open")
	s.start(t)
	connected := s.connections.Load()
	rejected := m.breaker(t, "db").Counts.Rejected
	eventually(t, "connections are rejected", func() error {
		if c, err := dialEcho(proxy); err == nil {
			c.Close()
			return errors.New("a connection was made")
		}
		if got := m.breaker(t, "db"); got.Counts.Rejected == rejected {
			return fmt.Errorf("the breaker is %+v", got)
		}
		return nil
	})
	if n := s.connections.Load() - connected; n > 0 {
		t.Errorf("%d connections reached the service of an open breaker", n)
	}
	if err := echo(kept); err != nil {
		t.Errorf("an old connection fails: %v", err)
	}
	m.state(t, "db", "half_open")
	for range 2 {
		eventually(t, "a probe connects", func() error {
			c, err := dialEcho(proxy)
			if err == nil {
				c.Close()
			}
			return err
		})
	}
	m.state(t, "db", "closed")
}

// TestTCPReset shows that a breaker trips by connections that the service accepts and then resets.
func TestTCPReset(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	s := newEchoServer(t, ip, echoes)
	m := newMesh(t, ip, database(s.address)+adaptive("db",
		"breaker: {consecutiveFailures: 0, failureRateThreshold: 50%, minimumNumberOfCalls: 6, waitDurationInOpenState: 1h}"))
	eventually(t, "the proxy listens", func() error {
		c, err := dialEcho(ip + ":15432")
		if err == nil {
			c.Close()
		}
		return err
	})
	s.mode.Store(resets)
	eventually(t, "resets trip the breaker", func() error {
		if c, err := dialEcho(ip + ":15432"); err == nil {
			c.Close()
			return errors.New("a line got an answer")
		}
		if got := m.breaker(t, "db"); got.State != "open" {
			return fmt.Errorf("the breaker is %+v", got)
		}
		return nil
	})
}

// TestTCPHalfOpenOverProxies shows that all proxies together admit as many connections as there are permits.
func TestTCPHalfOpenOverProxies(t *testing.T) {
	t.Parallel()
	const permitted = 2
	ip := ownIP(t)
	s := newEchoServer(t, ip, echoes)
	m := newMesh(t, ip, database(s.address)+adaptive("db",
		"breaker: {consecutiveFailures: 1, failureRateThreshold: 0%, waitDurationInOpenState: 1s, "+
			"permittedNumberOfCallsInHalfOpenState: 2, successThreshold: 100, maxWaitDurationInHalfOpenState: 1h}"))
	proxies := []string{m.egress}
	for _, p := range m.fleet(t, 3)[1:] {
		proxies = append(proxies, p.egress)
	}
	for i, p := range proxies {
		host, _, err := net.SplitHostPort(p)
		if err != nil {
			t.Fatal(err)
		}
		proxies[i] = net.JoinHostPort(host, "15432")
	}
	s.listener.Close()
	eventually(t, "the breaker trips", func() error {
		if c, err := dialEcho(proxies[0]); err == nil {
			c.Close()
		}
		if m.breaker(t, "db").State == "closed" {
			return errors.New("the breaker is closed")
		}
		return nil
	})
	m.state(t, "db", "half_open")
	s.start(t)
	var made []net.Conn
	defer func() {
		for _, c := range made {
			c.Close()
		}
	}()
	eventually(t, "there is a connection for each permit", func() error {
		for _, p := range proxies {
			if c, err := dialEcho(p); err == nil {
				made = append(made, c)
			}
		}
		if len(made) < permitted {
			return fmt.Errorf("%d connections", len(made))
		}
		return nil
	})
	holds(t, "there are no more connections than permits", time.Second, func() error {
		for _, p := range proxies {
			if c, err := dialEcho(p); err == nil {
				made = append(made, c)
			}
		}
		if len(made) > permitted {
			return fmt.Errorf("%d connections", len(made))
		}
		return nil
	})
}

// TestTCPConnectionThatStays shows that one connection that stays up closes a breaker. The application's pool needs no other
// connection, so there will be no other probes.
func TestTCPConnectionThatStays(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	s := newEchoServer(t, ip, echoes)
	m := newMesh(t, ip, database(s.address)+adaptive("db",
		"breaker: {consecutiveFailures: 2, failureRateThreshold: 0%, waitDurationInOpenState: 1s, successThreshold: 3}"))
	address := net.JoinHostPort(ip, "15432")
	s.listener.Close()
	eventually(t, "the breaker opens", func() error {
		if c, err := dialEcho(address); err == nil {
			c.Close()
			return errors.New("a connection was made")
		}
		if got := m.breaker(t, "db").State; got != "open" {
			return fmt.Errorf("the breaker is %s", got)
		}
		return nil
	})
	s.start(t)
	var one net.Conn
	eventually(t, "a connection is made", func() (err error) {
		one, err = dialEcho(address)
		return err
	})
	defer one.Close()
	m.state(t, "db", "closed")
	if err := echo(one); err != nil {
		t.Errorf("the connection broke: %v", err)
	}
}
