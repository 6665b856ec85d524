package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
)

// newHTTP1Server starts a scripted service that speaks HTTP/1.1 without a library, so that a script can break off anywhere.
func newHTTP1Server(t *testing.T, ip string) (address string) {
	t.Helper()
	l := listen(t, ip)
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		defer mu.Unlock()
		for c := range open {
			c.Close()
		}
	})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			go func() {
				serveHTTP1(c.(*net.TCPConn))
				mu.Lock()
				defer mu.Unlock()
				delete(open, c)
			}()
		}
	}()
	return l.Addr().String()
}

// serveHTTP1 serves the calls of a connection.
func serveHTTP1(c *net.TCPConn) {
	defer c.Close()
	in := bufio.NewReader(c)
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		v := &http1ServiceCall{c: c, in: in, r: r}
		play(v, r.Header.Get(scriptHeader))
		if v.over {
			return
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
	}
}

// http1ServiceCall is a call of HTTP/1.1.
type http1ServiceCall struct {
	c      *net.TCPConn
	in     *bufio.Reader
	r      *http.Request
	framed framing
	over   bool // the connection serves no other call
}

// framing is the way in which a response marks its end.
type framing int

const (
	noResponse framing = iota
	chunks
	byLength
	byClosing
)

func (v *http1ServiceCall) read(all bool) { readBody(v.r, all) }

// readBody reads the body of a request, or its first piece.
func readBody(r *http.Request, all bool) {
	if all {
		_, _ = io.Copy(io.Discard, r.Body) // ends early if the caller leaves
		return
	}
	_, _ = r.Body.Read(make([]byte, piece))
}

func (v *http1ServiceCall) headers(status int, style map[string]string) {
	head := fmt.Sprintf("HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	if kind := contentType(style, ""); kind != "" {
		head += "content-type: " + kind + "\r\n"
	}
	_, unframed := style["unframed"]
	length, hasLength := style["length"]
	switch {
	case status == http.StatusSwitchingProtocols:
		v.framed = byClosing
		head += "connection: upgrade\r\nupgrade: websocket\r\n"
	case status < http.StatusOK: // another response follows
	case unframed:
		v.framed = byClosing
	case hasLength:
		v.framed = byLength
		head += "content-length: " + length + "\r\n"
	default:
		v.framed = chunks
		head += "transfer-encoding: chunked\r\n"
	}
	v.write(head + "\r\n")
}

func (v *http1ServiceCall) write(text string) { _, _ = io.WriteString(v.c, text) } // send returns an error if the caller has left

func (v *http1ServiceCall) send(n int) error {
	return sendAll(n, func(b []byte) error {
		if v.framed == chunks {
			b = fmt.Appendf(nil, "%x\r\n%s\r\n", len(b), b)
		}
		_, err := v.c.Write(b)
		if err != nil {
			v.over = true
		}
		return err
	})
}

func (v *http1ServiceCall) end(int) {
	if v.framed == chunks {
		v.write("0\r\n\r\n")
	}
	v.over = v.framed == byClosing || v.framed == noResponse
}

func (v *http1ServiceCall) breakOff(how string) {
	v.over = true
	switch how {
	case "reset":
		_ = v.c.SetLinger(0) // makes Close reset the connection
	case "nonsense":
		v.write("nonsense\r\n\r\n")
		v.hang() // the proxy must end the call because of the nonsense
	}
}

// hang waits until the proxy has closed the connection.
func (v *http1ServiceCall) hang() {
	v.over = true
	_, _ = io.Copy(io.Discard, v.in) // returns when the caller has left
}
