package guard

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// from is a connection from a given address.
type from struct {
	net.Conn
	address net.Addr
}

func (f from) RemoteAddr() net.Addr { return f.address }

// clients open connections to a door.
type clients struct {
	t    *testing.T
	door *Door
	all  []net.Conn
}

// connect opens a connection from the address 10.0.0.host. It returns the connection's index in all, and whether the
// door let it in.
func (v *clients) connect(host byte) (int, bool) {
	ours, theirs := net.Pipe()
	v.t.Cleanup(func() { _, _ = ours.Close(), theirs.Close() })
	c := from{ours, &net.TCPAddr{IP: net.IPv4(10, 0, 0, host), Port: len(v.all)}}
	v.all = append(v.all, c)
	return len(v.all) - 1, v.door.enter(c)
}

func (v *clients) state(i int, s http.ConnState) { v.door.State(v.all[i], s) }

func (v *clients) closed(i int) bool {
	_ = v.all[i].SetReadDeadline(time.Unix(1, 0)) // fails on a closed connection
	return v.all[i].SetReadDeadline(time.Time{}) != nil
}

// TestDoor shows that the oldest idle connection gives way to a new one, and that busy connections stay.
func TestDoor(t *testing.T) {
	g, _ := newGuard(t)
	v := &clients{t: t, door: g.HTTPDoor(4)} // 2 may be idle
	for host := range byte(6) {
		if i, ok := v.connect(host); !ok {
			t.Errorf("connection %d was turned away", i)
		}
	}
	for i, want := range []bool{true, true, true, true, false, false} {
		if v.closed(i) != want {
			t.Errorf("connection %d is closed: %v, want %v", i, v.closed(i), want)
		}
	}
	v.state(4, http.StateActive)
	v.state(5, http.StateActive)
	for host := range byte(2) {
		i, _ := v.connect(host)
		v.state(i, http.StateActive)
	}
	if i, ok := v.connect(7); ok {
		t.Errorf("connection %d was let in, though all others are busy", i)
	}
	v.state(4, http.StateIdle)
	if i, ok := v.connect(7); !ok || !v.closed(4) {
		t.Errorf("connection %d was let in: %v; the idle one is closed: %v", i, ok, v.closed(4))
	}
	v.state(5, http.StateClosed)
	v.state(4, http.StateClosed) // the door has closed it already
	if d := v.door; len(d.open) != 3 || len(d.perAddress) != 3 || g.refused(HTTP, Idle) != 5 || g.refused(HTTP, Connections) != 1 {
		t.Errorf("%d connections are open, by address %v; refused: %v", len(d.open), d.perAddress, g.Refused())
	}
}

// TestOneAddressLeavesRoom shows that one address has at most half of the port's connections busy. When it opens one
// more, an idle connection from the same address gives way, and none from another address.
func TestOneAddressLeavesRoom(t *testing.T) {
	g, _ := newGuard(t)
	v := &clients{t: t, door: g.HTTPDoor(6)} // 3 may be idle
	const greedy, other = 1, 2
	others, _ := v.connect(other)
	for range 3 {
		i, ok := v.connect(greedy)
		if !ok {
			t.Fatalf("connection %d was turned away", i)
		}
		v.state(i, http.StateActive)
	}
	if i, ok := v.connect(greedy); ok {
		t.Errorf("connection %d was let in, the fourth from one address", i)
	}
	for range 2 {
		if i, ok := v.connect(other); !ok {
			t.Errorf("connection %d from another address was turned away", i)
		}
	}
	v.state(others+1, http.StateIdle)
	i, ok := v.connect(greedy)
	if !ok || !v.closed(others+1) || v.closed(others) {
		t.Errorf("connection %d was let in: %v; the idle one from its address is closed: %v, the one from another address: %v", i, ok, v.closed(others+1), v.closed(others))
	}
	if g.refused(HTTP, Connections) != 1 || g.refused(HTTP, Idle) != 1 {
		t.Errorf("refused: %v", g.Refused())
	}
}

// TestOneAddressLeavesRoomForHTTP shows that endless requests from one address keep no client at another address out.
func TestOneAddressLeavesRoomForHTTP(t *testing.T) {
	g, _ := newGuard(t)
	door := g.HTTPDoor(6)
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // ends when the peer closes the connection
	}))
	web.Config.ConnState = door.State
	web.Listener = door.Listen(web.Listener)
	web.Start()
	defer web.Close()
	const many = 20
	greedy := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	for range many {
		c, err := greedy.Dial("tcp", web.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _ = c.Write([]byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n")) // fails if the connection was turned away
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // as health checks do
	for range many {
		r, err := client.Get(web.URL)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
	}
	if got := g.refused(HTTP, Connections) + g.refused(HTTP, Idle); got < many-3 {
		t.Errorf("%d connections were refused; want all except 3", got)
	}
}
