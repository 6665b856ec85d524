package guard

import (
	"container/list"
	"fmt"
	"net"
	"net/http"
	"sync"
)

// maxIdle bounds the connections that have not finished their handshake, or have sent nothing since. Beyond it the
// oldest one is closed: a proxy sends something within milliseconds.
const maxIdle = 1_024

// Door bounds the connections of one listener. When there are too many, a new connection takes the place of the one
// that has been idle for the longest time. When none is idle, the new connection is closed. A door is safe for
// concurrent use.
type Door struct {
	guard    *Guard
	service  Service
	most     int
	mostIdle int
	mostEach int // for one address

	mu         sync.Mutex // guards the fields below
	open       map[net.Conn]*place
	idle       list.List      // elements are net.Conn, the oldest first
	perAddress map[string]int // open connections of each address
}

// place holds the door's state for one open connection.
type place struct {
	address string
	idle    *list.Element // nil: the connection is busy
	close   func() error  // closes the connection, or the secured one that its handshake has made
}

func newDoor(g *Guard, s Service, most, mostEach int) *Door {
	return &Door{
		guard: g, service: s, most: most, mostIdle: min(maxIdle, (most+1)/2), mostEach: mostEach,
		open: map[net.Conn]*place{}, perAddress: map[string]int{},
	}
}

// HTTPDoor returns a door for the HTTP port. It allows at most most connections, and half of them from one address. The
// port's server must call [Door.State].
func (g *Guard) HTTPDoor(most int) *Door { return newDoor(g, HTTP, most, (most+1)/2) }

// Listen returns a listener that accepts only the connections of l that the door allows.
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
		_ = c.Close() // an error concerns only the peer
	}
}

// enter reports whether the door allows a connection, and counts it as open and idle if so.
func (d *Door) enter(c net.Conn) bool {
	address := addressKey(c.RemoteAddr())
	if d.service == Connection && d.guard.isBannedKey(address) {
		d.guard.refuse(kind{address, Connection, Resets}, bannedReason)
		return false
	}
	evicted, why := d.admit(c, address)
	if evicted != nil {
		_ = evicted.close() // the reader of the connection gets an error
		d.guard.refuse(kind{evicted.address, d.service, Idle}, "a connection that said nothing was closed, so that others can be taken")
	}
	if why != "" {
		d.guard.refuse(kind{address, d.service, Connections}, why)
	}
	return why == ""
}

// admit counts a connection as open and idle. If another one had to give way to it, admit returns that one's place, and
// the caller closes it. If there is no room, admit returns the reason.
func (d *Door) admit(c net.Conn, address string) (evicted *place, why string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	full, crowded := len(d.open) >= d.most, d.perAddress[address] >= d.mostEach
	oldest := d.idle.Front()
	for crowded && oldest != nil && d.open[oldest.Value.(net.Conn)].address != address {
		oldest = oldest.Next() // only a connection of the same address may give way
	}
	if oldest != nil && (full || crowded || d.idle.Len() >= d.mostIdle) {
		evicted = d.leaveLocked(oldest.Value.(net.Conn))
		full, crowded = false, false
	}
	switch {
	case full:
		return nil, fmt.Sprintf("there are %d connections, as many as there may be, and none of them is idle", d.most)
	case crowded:
		return nil, fmt.Sprintf("this address has %d connections, as many as one may have, and none of them is idle", d.mostEach)
	}
	d.open[c] = &place{address, d.idle.PushBack(c), c.Close}
	d.perAddress[address]++
	return evicted, ""
}

// setClose sets the function that closes a connection whose handshake is over. It reports false if the door has closed
// the connection meanwhile.
func (d *Door) setClose(c net.Conn, close func() error) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.open[c]
	if p != nil {
		p.close = close
	}
	return p != nil
}

// markBusy records that a connection is no longer idle.
func (d *Door) markBusy(c net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p := d.open[c]; p != nil && p.idle != nil {
		d.idle.Remove(p.idle)
		p.idle = nil
	}
}

// markIdle records that a connection is idle from now on.
func (d *Door) markIdle(c net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p := d.open[c]; p != nil && p.idle == nil {
		p.idle = d.idle.PushBack(c)
	}
}

// leave removes a connection that is closed.
func (d *Door) leave(c net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.leaveLocked(c)
}

// leaveLocked removes a connection, and returns its place, or nil if it was not open.
func (d *Door) leaveLocked(c net.Conn) *place {
	p := d.open[c]
	if p == nil {
		return nil
	}
	delete(d.open, c)
	if p.idle != nil {
		d.idle.Remove(p.idle)
	}
	if d.perAddress[p.address]--; d.perAddress[p.address] == 0 {
		delete(d.perAddress, p.address)
	}
	return p
}

// State records whether a connection is idle, busy or closed. It is a value for [http.Server.ConnState].
func (d *Door) State(c net.Conn, s http.ConnState) {
	if secured, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = secured.NetConn()
	}
	switch s {
	case http.StateActive:
		d.markBusy(c)
	case http.StateIdle:
		d.markIdle(c)
	case http.StateClosed, http.StateHijacked:
		d.leave(c)
	}
}
