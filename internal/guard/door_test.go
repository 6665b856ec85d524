package guard

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// from is a connection from an address.
type from struct {
	net.Conn
	address net.Addr
}

func (f from) RemoteAddr() net.Addr { return f.address }

// visitors come to a door, each as a connection of its own.
type visitors struct {
	t    *testing.T
	door *Door
	all  []net.Conn
}

// enter comes from an address, and returns which one it is, and whether it was let in.
func (v *visitors) enter(host byte) (int, bool) {
	ours, theirs := net.Pipe()
	v.t.Cleanup(func() { _, _ = ours.Close(), theirs.Close() })
	c := from{ours, &net.TCPAddr{IP: net.IPv4(10, 0, 0, host), Port: len(v.all)}}
	v.all = append(v.all, c)
	return len(v.all) - 1, v.door.enter(c)
}

func (v *visitors) state(i int, s http.ConnState) { v.door.State(v.all[i], s) }

func (v *visitors) closed(i int) bool {
	_ = v.all[i].SetReadDeadline(time.Unix(1, 0)) // fails on one that is closed
	return v.all[i].SetReadDeadline(time.Time{}) != nil
}

// TestDoor: the oldest that says nothing gives way, and whoever is busy stays.
func TestDoor(t *testing.T) {
	g, _ := newGuard(t)
	v := &visitors{t: t, door: g.People(4)} // of which 2 may be idle
	for host := range byte(6) {
		if i, ok := v.enter(host); !ok {
			t.Errorf("%d was turned away", i)
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
		i, _ := v.enter(host)
		v.state(i, http.StateActive)
	}
	if i, ok := v.enter(7); ok {
		t.Errorf("%d was taken, though all are busy", i)
	}
	v.state(4, http.StateIdle)
	if i, ok := v.enter(7); !ok || !v.closed(4) {
		t.Errorf("%d was taken: %v; the idle one is closed: %v", i, ok, v.closed(4))
	}
	v.state(5, http.StateClosed)
	v.state(4, http.StateClosed) // which gave way
	if d := v.door; len(d.open) != 3 || len(d.of) != 3 || g.refused(HTTP, Idle) != 5 || g.refused(HTTP, Connections) != 1 {
		t.Errorf("%d are open, of %v, refused: %v", len(d.open), d.of, g.Refused())
	}
}

// TestOneAddressLeavesRoom: what is busy of one address is half of the port at most, and when it
// comes again those of its own that are idle give way, not those of others.
func TestOneAddressLeavesRoom(t *testing.T) {
	g, _ := newGuard(t)
	v := &visitors{t: t, door: g.People(6)} // of which 3 may be idle
	const greedy, other = 1, 2
	others, _ := v.enter(other)
	for range 3 {
		i, ok := v.enter(greedy)
		if !ok {
			t.Fatalf("%d was turned away", i)
		}
		v.state(i, http.StateActive)
	}
	if i, ok := v.enter(greedy); ok {
		t.Errorf("%d was taken, the fourth of one address", i)
	}
	for range 2 {
		if i, ok := v.enter(other); !ok {
			t.Errorf("%d of another address was turned away", i)
		}
	}
	v.state(others+1, http.StateIdle)
	i, ok := v.enter(greedy)
	if !ok || !v.closed(others+1) || v.closed(others) {
		t.Errorf("%d was taken: %v; its idle one is closed: %v, that of another address: %v", i, ok, v.closed(others+1), v.closed(others))
	}
	if g.refused(HTTP, Connections) != 1 || g.refused(HTTP, Idle) != 1 {
		t.Errorf("refused: %v", g.Refused())
	}
}

// TestOneAddressLeavesRoomForHTTP: requests that never end keep nobody at another address out.
func TestOneAddressLeavesRoomForHTTP(t *testing.T) {
	g, _ := newGuard(t)
	door := g.People(6)
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // ends when the peer is gone
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
		_, _ = c.Write([]byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n")) // fails if it was turned away
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // as probes are
	for range many {
		r, err := client.Get(web.URL)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
	}
	if got := g.refused(HTTP, Connections) + g.refused(HTTP, Idle); got < many-3 {
		t.Errorf("%d were refused; want all but 3", got)
	}
}
