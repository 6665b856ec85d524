package traffic

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

// Destination is a host behind a proxy, with the expected status of its responses.
type Destination struct {
	Egress string // the address of the proxy's listener
	Host   string
	Status int // 0: any status is expected
}

// caller is a connection to a proxy.
type caller struct {
	conn    net.Conn
	in      *bufio.Reader
	request []byte
}

func dial(to Destination) (*caller, error) {
	c, err := net.Dial("tcp", to.Egress)
	if err != nil {
		return nil, err
	}
	return &caller{conn: c, in: bufio.NewReader(c), request: []byte("GET / HTTP/1.1\r\nhost: " + to.Host + "\r\n\r\n")}, nil
}

// call sends one request and returns the status of the response.
func (c *caller) call() (status int, err error) {
	if _, err := c.conn.Write(c.request); err != nil {
		return 0, err
	}
	return readResponse(c.in)
}

// Flood sends requests as fast as it can over a number of connections for the time d, and
// returns how many responses there were. A response with an unexpected status is an error.
func Flood(ctx context.Context, to Destination, connections int, d time.Duration) (calls int, err error) {
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

func floodOne(ctx context.Context, to Destination) (calls int, err error) {
	c, err := dial(to)
	if err != nil {
		return 0, err
	}
	defer c.conn.Close()
	for ctx.Err() == nil {
		status, err := c.call()
		if err != nil {
			return calls, err
		}
		if to.Status != 0 && status != to.Status {
			return calls, fmt.Errorf("%s answered %d, want %d", to.Host, status, to.Status)
		}
		calls++
	}
	return calls, nil
}

// Call is one request under a steady load.
type Call struct {
	Sent, Done time.Time // Sent is when the request was due
	Status     int
}

// Steady sends perSecond requests a second, spread over a number of connections, until ctx ends. It returns all calls,
// whatever their status. If a request waits for the one before it on the same connection, its time counts from when it was
// due.
func Steady(ctx context.Context, to Destination, perSecond float64, connections int) ([]Call, error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var all []Call
	var problem error
	begin := time.Now()
	period := time.Duration(float64(time.Second) / perSecond)
	for i := range connections {
		wg.Go(func() {
			calls, err := steadyOne(ctx, to, begin.Add(time.Duration(i)*period), period*time.Duration(connections))
			mu.Lock()
			defer mu.Unlock()
			all = append(all, calls...)
			problem = errors.Join(problem, err)
		})
	}
	wg.Wait()
	return all, problem
}

func steadyOne(ctx context.Context, to Destination, first time.Time, period time.Duration) ([]Call, error) {
	c, err := dial(to)
	if err != nil {
		return nil, err
	}
	defer c.conn.Close()
	var all []Call
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
		all = append(all, Call{at, time.Now(), status})
	}
}

// Latencies returns how long calls took after they were due, sorted.
func Latencies(calls []Call) []time.Duration {
	all := make([]time.Duration, len(calls))
	for i, c := range calls {
		all[i] = c.Done.Sub(c.Sent)
	}
	slices.Sort(all)
	return all
}
