package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"breakwater.dev/bench/fleet/internal/expect"
	"breakwater.dev/bench/fleet/internal/fleet"
	"breakwater.dev/bench/internal/process"
)

// row has the cost of one step.
type row struct {
	step      string
	seconds   float64 // until the last proxy had it; NaN: not all had it
	cpu       float64 // seconds of the server's CPU time
	bytes     float64 // that a proxy received, in the mean
	responses float64 // the same
	counts    fleet.Counts
	note      string
}

// trial is a server with its fleet, while steps are measured.
type trial struct {
	ctx     context.Context
	say     func(format string, args ...any)
	name    string
	process *process.Process
	fleet   *fleet.Fleet
	proxies int
	rows    []row
	peak    int64 // the most memory of all processes of the server, in bytes
	synced  int64 // its memory after the first sync
}

const (
	patience = 3 * time.Minute // for one step
	calm     = 300 * time.Millisecond
	restless = 10 * time.Second // the server is taken as busy by nature after this
)

// step makes a change and measures until all proxies have it, and the server has nothing more to do.
func (t *trial) step(name string, e *expect.Change, change func() error) (*row, error) {
	if err := t.settle(); err != nil {
		return nil, err
	}
	before, err := t.cpu()
	if err != nil {
		return nil, err
	}
	counts, begin := t.fleet.Counts(), time.Now()
	t.fleet.Expect(e)
	if err := change(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	r := row{step: name}
	select {
	case <-t.ctx.Done():
		return nil, t.ctx.Err()
	case <-t.process.Exited():
		return nil, fmt.Errorf("%s: the server has ended", name)
	case <-time.After(patience):
		r.seconds, r.note = math.NaN(), fmt.Sprintf("%d of %d proxies lacked it after %s", e.Remaining(), t.proxies, patience)
	case <-e.Done():
		r.seconds = max(0, e.Last().Sub(begin).Seconds())
	}
	return t.finish(r, before, counts)
}

// finish waits until the server has nothing more to do, and completes a row.
func (t *trial) finish(r row, before time.Duration, counts fleet.Counts) (*row, error) {
	if err := t.settle(); err != nil {
		return nil, err
	}
	after, err := t.cpu()
	if err != nil {
		return nil, err
	}
	r.counts = t.fleet.Counts().Sub(counts)
	r.cpu = (after - before).Seconds()
	if r.counts.Again > 0 {
		r.note += fmt.Sprintf("%d resources sent again, such as %s", r.counts.Again, t.fleet.Example())
	}
	r.bytes, r.responses = float64(r.counts.Bytes)/float64(t.proxies), float64(r.counts.Responses)/float64(t.proxies)
	t.say("%s: %s: %.2f s, %.2f s of CPU, %.0f bytes and %.1f responses a proxy %s", t.name, r.step, r.seconds, r.cpu, r.bytes, r.responses, r.note)
	t.rows = append(t.rows, r)
	return &t.rows[len(t.rows)-1], nil
}

func (t *trial) cpu() (time.Duration, error) { return t.process.CPU() }

// settle waits until no proxy has received anything but heartbeats for a while, and the server is idle.
func (t *trial) settle() error {
	type state struct {
		responses int64
		cpu       time.Duration
	}
	look := func() (state, error) {
		c := t.fleet.Counts()
		cpu, err := t.cpu()
		return state{c.Responses - c.Heartbeats, cpu}, err
	}
	deadline := time.Now().Add(restless)
	for {
		before, err := look()
		if err != nil {
			return err
		}
		if err := t.sleep(calm); err != nil {
			return err
		}
		after, err := look()
		if err != nil {
			return err
		}
		if after.responses == before.responses && (after.cpu-before.cpu <= calm/10 || time.Now().After(deadline)) {
			return nil
		}
		if time.Now().After(deadline.Add(patience)) {
			return fmt.Errorf("%s does not settle", t.name)
		}
	}
}

func (t *trial) sleep(d time.Duration) error {
	select {
	case <-t.ctx.Done():
		return t.ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// quiet measures a time in which nothing happens.
func (t *trial) quiet(name string, d time.Duration) (*row, error) {
	if err := t.settle(); err != nil {
		return nil, err
	}
	before, err := t.cpu()
	if err != nil {
		return nil, err
	}
	counts := t.fleet.Counts()
	if err := t.sleep(d); err != nil {
		return nil, err
	}
	after, err := t.cpu()
	if err != nil {
		return nil, err
	}
	// The figures are for one second.
	r := row{step: name, seconds: math.NaN(), cpu: (after - before).Seconds() / d.Seconds(), counts: t.fleet.Counts().Sub(counts)}
	share := float64(t.proxies) * d.Seconds()
	r.bytes, r.responses = float64(r.counts.Bytes)/share, float64(r.counts.Responses)/share
	t.say("%s: %s: %.3f s of CPU, %.0f bytes and %.2f responses a proxy in a second", t.name, name, r.cpu, r.bytes, r.responses)
	t.rows = append(t.rows, r)
	return &t.rows[len(t.rows)-1], nil
}

// weigh notes the memory of the server.
func (t *trial) weigh() (process.Memory, error) {
	m, err := t.process.Memory()
	t.peak = max(t.peak, m.Peak)
	return m, err
}

// first measures the first sync. Proxy i gets whole(i) upstreams.
func (t *trial) first(whole func(i int) int) error {
	if _, err := t.step(firstSync, &expect.Change{Whole: whole}, func() error { t.fleet.Start(); return nil }); err != nil {
		return err
	}
	memory, err := t.weigh()
	t.synced = memory.Resident
	return err
}

// restart kills the server, starts it again, and measures until all proxies are back.
func (t *trial) restart(step string, start func() (*process.Process, error)) error {
	if err := t.settle(); err != nil {
		return err
	}
	if _, err := t.weigh(); err != nil {
		return err
	}
	counts := t.fleet.Counts()
	t.fleet.Expect(&expect.Change{})
	t.process.Kill()
	begin := time.Now()
	var err error
	if t.process, err = start(); err != nil {
		return err
	}
	for {
		if open, want := t.fleet.Streams(); open == want {
			break
		}
		if time.Since(begin) > patience {
			return fmt.Errorf("%s: not all proxies are back after %s", step, patience)
		}
		if err := t.sleep(5 * time.Millisecond); err != nil {
			return err
		}
	}
	_, err = t.finish(row{step: step, seconds: time.Since(begin).Seconds()}, 0, counts)
	return err
}

// result completes the result of a server.
func (t *trial) result(r *result) error {
	memory, err := t.weigh()
	r.rows, r.synced, r.end, r.peak, r.counts = t.rows, t.synced, memory.Resident, t.peak, t.fleet.Counts()
	return err
}
