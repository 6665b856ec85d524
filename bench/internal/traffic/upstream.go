package traffic

import (
	"bufio"
	"net"
	"sync/atomic"
)

// Upstream is a service that needs little CPU: it has a goroutine for each connection, and constant responses.
type Upstream struct {
	listener net.Listener
	inFlight atomic.Int64
	most     atomic.Int64
	calls    atomic.Int64
	answer   atomic.Pointer[func() bool]
}

// StartUpstream starts a service on a free port on loopback. It answers every request with status 200.
func StartUpstream() (*Upstream, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	u := &Upstream{listener: l}
	u.Behave(func() bool { return true })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go u.serve(c)
		}
	}()
	return u, nil
}

// Close stops accepting connections. Open ones end when their callers close them.
func (u *Upstream) Close() { u.listener.Close() }

// Address returns the host and port of the service.
func (u *Upstream) Address() string { return u.listener.Addr().String() }

// Behave sets the function that decides about every request from now on: true for status 200, false for 500. The function
// may be slow, and is called from many goroutines.
func (u *Upstream) Behave(answer func() bool) { u.answer.Store(&answer) }

// Seen returns how many requests there have been since [Upstream.Forget], and the largest number in flight at one time.
func (u *Upstream) Seen() (calls, most int64) { return u.calls.Load(), u.most.Load() }

// Forget sets the counts of [Upstream.Seen] to 0.
func (u *Upstream) Forget() {
	u.most.Store(0)
	u.calls.Store(0)
}

func (u *Upstream) serve(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	for {
		if err := readRequest(in); err != nil {
			return
		}
		u.calls.Add(1)
		now := u.inFlight.Add(1)
		for most := u.most.Load(); now > most && !u.most.CompareAndSwap(most, now); most = u.most.Load() {
		}
		response := errorResponse
		if (*u.answer.Load())() {
			response = okResponse
		}
		// The request counts as over before the response is written, because its caller may then send the next one.
		u.inFlight.Add(-1)
		if _, err := c.Write(response); err != nil {
			return
		}
	}
}
