package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

// caller is a connection to a proxy.
type caller struct {
	conn    net.Conn
	in      *bufio.Reader
	request []byte
}

func dial(egress, host string) (*caller, error) {
	c, err := net.Dial("tcp", egress)
	if err != nil {
		return nil, err
	}
	return &caller{conn: c, in: bufio.NewReader(c), request: []byte("GET / HTTP/1.1\r\nhost: " + host + "\r\n\r\n")}, nil
}

// call sends one request and returns the status of its answer.
func (c *caller) call() (status int, err error) {
	if _, err := c.conn.Write(c.request); err != nil {
		return 0, err
	}
	return readResponse(c.in)
}

// destination is where callers send to, and what they are to be answered; 0: anything.
type destination struct {
	egress, host string
	status       int
}

// anything is a proxy's payments, whatever it answers.
func anything(p *proxy) destination { return destination{egress: p.egress, host: "payments"} }

// flood sends as much as it can over so many connections, for so long, and returns how
// many calls were answered. Another status than is wanted is an error.
func flood(ctx context.Context, to destination, connections int, d time.Duration) (calls int, err error) {
	ctx, stop := context.WithTimeout(ctx, d)
	defer stop()
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range connections {
		wg.Go(func() {
			n, problem := floodOne(ctx, to)
			mu.Lock()
			defer mu.Unlock()
			calls += n
			err = errors.Join(err, problem)
		})
	}
	wg.Wait()
	return calls, err
}

func floodOne(ctx context.Context, to destination) (calls int, err error) {
	c, err := dial(to.egress, to.host)
	if err != nil {
		return 0, err
	}
	defer c.conn.Close()
	for ctx.Err() == nil {
		status, err := c.call()
		if err != nil {
			return calls, err
		}
		if to.status != 0 && status != to.status {
			return calls, fmt.Errorf("%s answered %d, want %d", to.host, status, to.status)
		}
		calls++
	}
	return calls, nil
}

// answered is one call of a steady load.
type answered struct {
	sent, done time.Time // sent: when it was to be
	status     int
}

// steady sends so many calls per second, spread over so many connections, until ctx is over,
// and returns all of them. A call that has to wait for the one before it on its connection
// has waited from when it was to be sent.
func steady(ctx context.Context, egress, host string, perSecond float64, connections int) ([]answered, error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var all []answered
	var problem error
	begin := time.Now()
	period := time.Duration(float64(time.Second) / perSecond)
	for i := range connections {
		wg.Go(func() {
			calls, err := steadyOne(ctx, egress, host, begin.Add(time.Duration(i)*period), period*time.Duration(connections))
			mu.Lock()
			defer mu.Unlock()
			all = append(all, calls...)
			problem = errors.Join(problem, err)
		})
	}
	wg.Wait()
	return all, problem
}

func steadyOne(ctx context.Context, egress, host string, first time.Time, period time.Duration) ([]answered, error) {
	c, err := dial(egress, host)
	if err != nil {
		return nil, err
	}
	defer c.conn.Close()
	var all []answered
	timer := time.NewTimer(time.Until(first))
	defer timer.Stop()
	for at := first; ; at = at.Add(period) {
		timer.Reset(time.Until(at))
		select {
		case <-ctx.Done():
			return all, nil
		case <-timer.C:
		}
		status, err := c.call()
		if err != nil {
			return all, err
		}
		all = append(all, answered{at, time.Now(), status})
	}
}

// latencies are how long calls took, sorted.
func latencies(calls []answered) []time.Duration {
	all := make([]time.Duration, len(calls))
	for i, c := range calls {
		all[i] = c.done.Sub(c.sent)
	}
	slices.Sort(all)
	return all
}
