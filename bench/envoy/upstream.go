package main

import (
	"bufio"
	"bytes"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// upstream is a service that does next to nothing: a goroutine for each connection, and
// constant answers.
type upstream struct {
	address  string
	inFlight atomic.Int64
	most     atomic.Int64
	calls    atomic.Int64
	// answer says what becomes of a call; it may take its time. True: 200, else 500.
	answer atomic.Pointer[func() bool]
}

var (
	fine   = []byte("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 3\r\n\r\nok\n")
	broken = []byte("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n")
)

// upstream starts one that is well.
func (m *machine) upstream() (*upstream, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	u := &upstream{address: l.Addr().String()}
	u.behave(func() bool { return true })
	m.closers = append(m.closers, func() { l.Close() })
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

func (u *upstream) behave(answer func() bool) { u.answer.Store(&answer) }

func (u *upstream) serve(c net.Conn) {
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
		response := broken
		if (*u.answer.Load())() {
			response = fine
		}
		// Over when the answer is on its way: whoever has it may send the next.
		u.inFlight.Add(-1)
		if _, err := c.Write(response); err != nil {
			return
		}
	}
}

// readRequest reads a request without a body.
func readRequest(in *bufio.Reader) error {
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= 2 {
			return nil
		}
	}
}

// readResponse returns a response's status.
func readResponse(in *bufio.Reader) (status int, err error) {
	length := 0
	for first := true; ; first = false {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		switch {
		case first && len(line) > 12:
			if status, err = strconv.Atoi(string(line[9:12])); err != nil {
				return 0, err
			}
		case len(line) <= 2:
			_, err := in.Discard(length)
			return status, err
		case bytes.HasPrefix(line, []byte("content-length: ")):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[16:]))); err != nil {
				return 0, err
			}
		}
	}
}

func splitAddress(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	port, err = strconv.Atoi(text)
	return host, port, err
}

// stamps are times that something happened at.
type stamps struct {
	mu  sync.Mutex
	all []time.Time
}

func (s *stamps) add(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, t)
}

func (s *stamps) list() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]time.Time(nil), s.all...)
}
