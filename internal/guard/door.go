package guard

import (
	"container/list"
	"fmt"
	"net"
	"net/http"
	"sync"
)

// maxIdle is how many connections may be there that have not made their handshake, or have
// sent nothing. Beyond it the oldest goes: a proxy says something within milliseconds.
const maxIdle = 1_024

// Door bounds the connections of one listener: the one that is idle for the longest time gives
// way to a new one, and a new one is turned away where none is idle.
type Door struct {
	guard    *Guard
	service  Service
	most     int
	mostIdle int

	mu   sync.Mutex // guards what follows
	open map[net.Conn]*list.Element
	idle list.List // of [net.Conn], the oldest first
}

func newDoor(g *Guard, s Service, most int) *Door {
	return &Door{guard: g, service: s, most: most, mostIdle: min(maxIdle, (most+1)/2), open: map[net.Conn]*list.Element{}}
}

// People returns a door for the port for people with so many connections at most; its server
// has to call [Door.State].
func (g *Guard) People(most int) *Door { return newDoor(g, HTTP, most) }

// Listen returns a listener with the door in front of l.
func (d *Door) Listen(l net.Listener) net.Listener { return listener{l, d} }

type listener struct {
	net.Listener
	door *Door
}

// Accept implements [net.Listener].
func (l listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil || l.door.enter(c) {
			return c, err
		}
		_ = c.Close() // its peer finds out
	}
}

// enter tells whether there is room for a connection, which is idle at first.
func (d *Door) enter(c net.Conn) bool {
	if address := addressKey(c.RemoteAddr()); d.service == Connection && d.guard.forbids(address) {
		d.guard.refuse(kind{address, Connection, Resets}, banned)
		return false
	}
	d.mu.Lock()
	full := len(d.open) >= d.most
	var gone net.Conn
	if oldest := d.idle.Front(); oldest != nil && (full || d.idle.Len() >= d.mostIdle) {
		gone = oldest.Value.(net.Conn)
		d.leaveLocked(gone)
		full = false
	}
	if !full {
		d.open[c] = d.idle.PushBack(c)
	}
	d.mu.Unlock()
	if gone != nil {
		_ = gone.Close() // whoever reads from it finds out
		d.guard.refuse(kind{addressKey(gone.RemoteAddr()), d.service, Idle}, "a connection that said nothing was closed, so that others can be taken")
	}
	if full {
		d.guard.refuse(kind{addressKey(c.RemoteAddr()), d.service, Connections}, fmt.Sprintf("there are %d connections, and there may be no more", d.most))
	}
	return !full
}

// busy says that a connection is no longer idle.
func (d *Door) busy(c net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e := d.open[c]; e != nil {
		d.idle.Remove(e)
		d.open[c] = nil
	}
}

func (d *Door) rest(c net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e, open := d.open[c]; open && e == nil {
		d.open[c] = d.idle.PushBack(c)
	}
}

func (d *Door) leave(c net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.leaveLocked(c)
}

func (d *Door) leaveLocked(c net.Conn) {
	if e := d.open[c]; e != nil {
		d.idle.Remove(e)
	}
	delete(d.open, c)
}

// State is for [http.Server.ConnState].
func (d *Door) State(c net.Conn, s http.ConnState) {
	if secured, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = secured.NetConn()
	}
	switch s {
	case http.StateActive:
		d.busy(c)
	case http.StateIdle:
		d.rest(c)
	case http.StateClosed, http.StateHijacked:
		d.leave(c)
	}
}
