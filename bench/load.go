package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"breakwater.dev/bench/internal/measure"
	"breakwater.dev/bench/internal/peers"
	"breakwater.dev/breaker"
	"breakwater.dev/metrics"
	"breakwater.dev/policy"
)

// load has the figures for as many breakers as one control plane should carry, all of which have had calls.
type load struct {
	engine    uint64 // bytes in use by the engine
	metrics   uint64 // bytes in use by the engine and its series, before any scrape
	scraped   uint64 // the same after scrapes, with the buffers that are kept for the next scrape
	alone     scrapes
	busy      scrapes            // while one core makes calls all the time
	calm      *measure.Histogram // calls without scrapes
	disturbed *measure.Histogram // calls during scrapes
}

// scrapes has the figures for several scrapes, one after another.
type scrapes struct {
	took  []time.Duration // sorted
	bytes int64           // the size of the last response
}

func (s scrapes) median() time.Duration { return s.took[len(s.took)/2] }
func (s scrapes) worst() time.Duration  { return s.took[len(s.took)-1] }

// mesh is an engine with its metrics, connected as in the control plane.
type mesh struct {
	engine  *breaker.Engine
	clock   peers.Clock
	metrics *metrics.Metrics
}

// underLoad measures memory, scrapes, and calls during scrapes.
func underLoad(o options) (load, error) {
	o.say("memory and scrapes of %d breakers", o.most)
	d := peers.NewDirectory(o.most, o.most, rand.New(rand.NewPCG(o.seed, 3)))
	set := setOf(d.Names)
	base := measure.InUse()
	var m mesh
	m.engine, m.clock = peers.NewEngine(d.Names, breaker.DefaultConfig())
	m.haveCalls(d.Order)
	l := load{engine: measure.InUse() - base}
	m.metrics = metrics.New(metrics.Options{Engine: m.engine, Clock: &m})
	m.metrics.Apply(set, time.Now())
	for _, name := range d.Order {
		m.metrics.ObserveCalls(breaker.Key{Upstream: name}, peers.Duration, 1)
	}
	l.metrics = measure.InUse() - base
	err := m.serve(func(url string) error { return l.scrape(o, &m, d.Order, url) })
	l.scraped = measure.InUse() - base
	runtime.KeepAlive(&m)
	runtime.KeepAlive(set)
	runtime.KeepAlive(d)
	return l, err
}

// Now and Wall are the clock of the metrics.
func (m *mesh) Now() breaker.Instant             { return m.clock.Now() }
func (m *mesh) Wall(i breaker.Instant) time.Time { return time.Unix(0, int64(i)) }

// haveCalls gives every breaker a few calls, one of which fails.
func (m *mesh) haveCalls(order []string) {
	for _, o := range []breaker.Outcome{breaker.Success, breaker.Failure, breaker.Success, breaker.Success} {
		for _, name := range order {
			at := m.clock.Now()
			p, _ := m.engine.Acquire(breaker.Key{Upstream: name}, at)
			p.Done(o, at.Add(peers.Duration))
		}
	}
}

// setOf returns a policy with a default breaker for each name.
func setOf(names []string) *policy.Set {
	set := &policy.Set{Revision: "bench"}
	for _, name := range names {
		spec := breaker.Spec{Key: breaker.Key{Upstream: name}, Config: breaker.DefaultConfig(), Lease: 20 * time.Second}
		set.Upstreams = append(set.Upstreams, &policy.Upstream{
			Name: name, Routes: []policy.Route{{Breaker: &policy.Breaker{Spec: spec}}},
		})
	}
	return set
}

// serve serves the metrics over HTTP on loopback while use runs.
func (m *mesh) serve(use func(url string) error) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for scrapes: %w", err)
	}
	server := &http.Server{Handler: m.metrics, ReadHeaderTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	err = use("http://" + listener.Addr().String() + "/metrics")
	if down := server.Shutdown(context.Background()); down != nil {
		err = errors.Join(err, fmt.Errorf("end the server: %w", down))
	}
	if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("serve scrapes: %w", served))
	}
	return err
}

// scrape measures calls and scrapes, each alone and both together.
func (l *load) scrape(o options, m *mesh, order []string, url string) (err error) {
	var stop atomic.Bool
	timer := time.AfterFunc(o.quiet, func() { stop.Store(true) })
	defer timer.Stop()
	l.calm = m.latency(order, &stop)
	if l.alone, err = scrapeTimes(o.scrapes, url); err != nil {
		return err
	}
	stop.Store(false)
	measured := make(chan *measure.Histogram)
	go func() { measured <- m.latency(order, &stop) }()
	l.busy, err = scrapeTimes(o.scrapes, url)
	stop.Store(true)
	l.disturbed = <-measured
	return err
}

// latency makes calls until stop is set, and times each. Each time includes one reading of the clock.
func (m *mesh) latency(order []string, stop *atomic.Bool) *measure.Histogram {
	h := new(measure.Histogram)
	begin := m.clock.Now()
	for i := 0; !stop.Load() || h.Total() == 0; i++ {
		p, _ := m.engine.Acquire(breaker.Key{Upstream: peers.At(order, i)}, begin)
		p.Done(breaker.Success, begin.Add(peers.Duration))
		end := m.clock.Now()
		h.Add(end.Sub(begin))
		begin = end
	}
	return h
}

// scrapeTimes times n scrapes over one connection. An untimed scrape before them opens the connection.
func scrapeTimes(n int, url string) (scrapes, error) {
	transport := &http.Transport{DisableCompression: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: time.Minute}
	var s scrapes
	for i := range n + 1 {
		begin := time.Now()
		size, err := get(client, url)
		if err != nil {
			return s, err
		}
		if s.bytes = size; i > 0 {
			s.took = append(s.took, time.Since(begin))
		}
	}
	slices.Sort(s.took)
	return s, nil
}

// get reads the whole response and returns its size.
func get(client *http.Client, url string) (int64, error) {
	response, err := client.Get(url)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	size, err := io.Copy(io.Discard, response.Body)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", url, err)
	}
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s answered %s", url, response.Status)
	}
	return size, nil
}
