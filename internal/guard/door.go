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
	mostEach int // of one address

	mu   sync.Mutex // guards what follows
	open map[net.Conn]*place
	idle list.List      // of [net.Conn], the oldest first
	of   map[string]int // how many each address has
}

// place is that of one connection.
type place struct {
	address string
	idle    *list.Element // nil: it is busy
	close   func() error  // of the connection, or of what its handshake has made of it
}

func newDoor(g *Guard, s Service, most, mostEach int) *Door {
	return &Door{
		guard: g, service: s, most: most, mostIdle: min(maxIdle, (most+1)/2), mostEach: mostEach,
		open: map[net.Conn]*place{}, of: map[string]int{},
	}
}

// People returns a door for the port for people with so many connections at most, half of them
// from one address; its server has to call [Door.State].
func (g *Guard) People(most int) *Door { return newDoor(g, HTTP, most, (most+1)/2) }

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
	address := addressKey(c.RemoteAddr())
	if d.service == Connection && d.guard.forbids(address) {
		d.guard.refuse(kind{address, Connection, Resets}, banned)
		return false
	}
	gone, why := d.admit(c, address)
	if gone != nil {
		_ = gone.close() // whoever reads from it finds out
		d.guard.refuse(kind{gone.address, d.service, Idle}, "a connection that said nothing was closed, so that others can be taken")
	}
	if why != "" {
		d.guard.refuse(kind{address, d.service, Connections}, why)
	}
	return why == ""
}

// admit takes a connection in, and returns the place of the one that gave way to it, which is to
// be closed. Or it says why there is no room.
func (d *Door) admit(c net.Conn, address string) (gone *place, why string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	full, crowded := len(d.open) >= d.most, d.of[address] >= d.mostEach
	oldest := d.idle.Front()
	for crowded && oldest != nil && d.open[oldest.Value.(net.Conn)].address != address {
		oldest = oldest.Next() // it is one of its own that has to go
	}
	if oldest != nil && (full || crowded || d.idle.Len() >= d.mostIdle) {
		gone = d.leaveLocked(oldest.Value.(net.Conn))
		full, crowded = false, false
	}
	switch {
	case full:
		return nil, fmt.Sprintf("there are %d connections, as many as there may be, and none of them is idle", d.most)
	case crowded:
		return nil, fmt.Sprintf("this address has %d connections, as many as one may have, and none of them is idle", d.mostEach)
	}
	d.open[c] = &place{address, d.idle.PushBack(c), c.Close}
	d.of[address]++
	return gone, ""
}

// holds says what is to be closed in place of a connection whose handshake is over. It is false
// for one that has had to make room meanwhile.
func (d *Door) holds(c net.Conn, close func() error) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.open[c]
	if p != nil {
		p.close = close
	}
	return p != nil
}

// busy says that a connection is no longer idle.
func (d *Door) busy(c net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p := d.open[c]; p != nil && p.idle != nil {
		d.idle.Remove(p.idle)
		p.idle = nil
	}
}

func (d *Door) rest(c net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p := d.open[c]; p != nil && p.idle == nil {
		p.idle = d.idle.PushBack(c)
	}
}

func (d *Door) leave(c net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.leaveLocked(c)
}

// leaveLocked forgets a connection, and returns the place that it had.
func (d *Door) leaveLocked(c net.Conn) *place {
	p := d.open[c]
	if p == nil {
		return nil
	}
	delete(d.open, c)
	if p.idle != nil {
		d.idle.Remove(p.idle)
	}
	if d.of[p.address]--; d.of[p.address] == 0 {
		delete(d.of, p.address)
	}
	return p
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
