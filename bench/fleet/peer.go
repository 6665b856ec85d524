package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"breakwater.dev/bench/fleet/internal/bootstrap"
	"breakwater.dev/bench/fleet/internal/expect"
	"breakwater.dev/bench/fleet/internal/fleet"
	"breakwater.dev/bench/fleet/internal/linear"
	"breakwater.dev/bench/internal/process"
)

// recording has the resources that one proxy received in the steps that the linear caches repeat.
type recording struct {
	bootstrap *bootstrap.Bootstrap
	first     []linear.Resource            // after the first sync
	changes   map[string][]linear.Resource // by step
	expected  map[string]*expect.Change
}

// peer is a server with linear caches, in a process of its own.
type peer struct {
	ctx        context.Context
	self       string // the program
	dir        string
	xds, admin string
	process    *process.Process
	starts     int
}

// start starts the server with resources, and returns when it is ready.
func (p *peer) start(resources []linear.Resource) error {
	path := filepath.Join(p.dir, "resources")
	if err := linear.Write(path, resources); err != nil {
		return err
	}
	p.starts++
	var err error
	log := filepath.Join(p.dir, fmt.Sprintf("%d.log", p.starts))
	if p.process, err = process.Start(log, p.self, "-serve-linear", path, "-address", p.xds, "-admin", p.admin); err != nil {
		return err
	}
	for deadline := time.Now().Add(time.Minute); ; {
		response, err := http.Get("http://" + p.admin + "/")
		if err == nil {
			return response.Body.Close()
		}
		select {
		case <-p.ctx.Done():
			return p.ctx.Err()
		case <-p.process.Exited():
			text, _ := os.ReadFile(log)
			return fmt.Errorf("the linear caches have ended: %s", text)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the linear caches are not ready within a minute: %w", err)
		}
	}
}

func newPeer(ctx context.Context, self string) (*peer, error) {
	p := &peer{ctx: ctx, self: self}
	var err error
	if p.dir, err = os.MkdirTemp("", "linear-caches"); err != nil {
		return nil, err
	}
	for _, address := range []*string{&p.xds, &p.admin} {
		if *address, err = freeAddress(); err != nil {
			return nil, errors.Join(err, p.close())
		}
	}
	return p, nil
}

func (p *peer) close() error {
	if p.process != nil {
		p.process.Kill()
	}
	return os.RemoveAll(p.dir)
}

// measurePeer has the linear caches serve what our control plane has served.
func measurePeer(ctx context.Context, o options, c config, rec *recording) (r *result, err error) {
	const name = "linear caches"
	p, err := newPeer(ctx, o.self)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	o.say("%s, %s: start", name, c)
	begin := time.Now()
	if err := p.start(rec.first); err != nil {
		return nil, err
	}
	r = &result{server: name, ready: time.Since(begin).Seconds()}
	cpu, err := p.process.CPU()
	if err != nil {
		return nil, err
	}
	r.load = cpu.Seconds()
	f, err := fleet.New(fleet.Options{Address: p.xds, Bootstrap: rec.bootstrap, Proxies: c.proxies})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	t := &trial{ctx: ctx, say: o.say, name: name, process: p.process, fleet: f, proxies: c.proxies}
	if err := t.repeat(p, c, rec); err != nil {
		return nil, fmt.Errorf("%s, %s: %w (%s)", name, c, err, f.Problem())
	}
	return r, t.result(r)
}

// repeat measures the steps of a recording.
func (t *trial) repeat(p *peer, c config, rec *recording) error {
	if err := t.first(func(int) int { return c.upstreams }); err != nil {
		return err
	}
	now := rec.first
	for _, step := range []string{endpoint, timeout, added} {
		changes := rec.changes[step]
		if _, err := t.step(step, rec.expected[step].Again(), func() error { return linear.Change(t.ctx, p.admin, changes) }); err != nil {
			return err
		}
		now = apply(now, changes)
	}
	return t.restart(killed, func() (*process.Process, error) {
		err := p.start(now)
		return p.process, err
	})
}
