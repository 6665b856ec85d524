package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"breakwater.dev/bench/internal/report"
)

// counter stands before the ports of replicas for other replicas, and counts the bytes that pass, in both directions.
type counter struct{ passed atomic.Int64 }

// before starts to forward connections to an address, and returns the address at which it does. It ends with the scope of b.
func (c *counter) before(b *bench, address string) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	closed := false
	b.AtEnd(func() {
		l.Close()
		mu.Lock()
		closed = true
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	all.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", address)
			if err != nil { // the replica is not there
				from.Close()
				continue
			}
			mu.Lock()
			if open = append(open, from, to); closed {
				from.Close()
				to.Close()
			}
			mu.Unlock()
			all.Go(func() { c.pass(from, to) })
			all.Go(func() { c.pass(to, from) })
		}
	})
	return l.Addr().String(), nil
}

// pass forwards what comes from one connection until it ends, and then ends the other one.
func (c *counter) pass(from, to net.Conn) {
	defer to.Close()
	_, _ = io.Copy(to, io.TeeReader(from, c)) // the end of a connection is no error here
}

// Write implements [io.Writer].
func (c *counter) Write(p []byte) (int, error) {
	c.passed.Add(int64(len(p)))
	return len(p), nil
}

// traffics measures the bytes between replicas.
func traffics(b *bench, out *bytes.Buffer) ([]report.Target, error) {
	service, err := b.Upstream()
	if err != nil {
		return nil, err
	}
	c := &counter{}
	b.say("starting %d replicas with counters between them", several)
	s, err := b.setup(several, policyOf(service), func(address string) (string, error) { return c.before(b, address) })
	if err != nil {
		return nil, err
	}
	b.Sleep(3 * time.Second)
	b.say("bytes between replicas")
	seconds := b.options.cell.Seconds()
	idle := c.in(func() { b.Sleep(b.options.cell) }) / seconds
	var lines [][]string
	for _, m := range modes {
		service.Behave(func() bool { return !m.fails })
		hosts, err := m.hosts(s)
		if err != nil {
			return nil, err
		}
		var passed float64
		if _, err := s.underLoad(hosts, m.rate/float64(len(hosts)), func() error {
			b.Sleep(time.Second)
			passed = c.in(func() { b.Sleep(b.options.cell) }) / seconds
			return nil
		}); err != nil {
			return nil, err
		}
		each := func(bytes float64) string { return report.Number(bytes / m.rate) }
		lines = append(lines, []string{fmt.Sprintf("%s, %.0f/s", m.name, m.rate), each(passed - idle), each(passed), report.Number(passed / 1000)})
	}
	if idle == 0 {
		return nil, errors.New("nothing has passed between the replicas")
	}
	fmt.Fprintf(out, "\n## Bytes between replicas\n\nA forwarder between %d replicas counts all that is above TCP, in sum and in both directions. Without calls: %s kB/s.\n\n", several, report.Number(idle/1000))
	report.Table(out, []string{"", "kB for 1,000 outcomes", "with idle", "kB/s"}, lines)
	return nil, nil
}

// in returns the bytes that pass while f runs.
func (c *counter) in(f func()) float64 {
	before := c.passed.Load()
	f()
	return float64(c.passed.Load() - before)
}
