package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"breakwater.dev/bench/internal/traffic"
)

// fleet is the number of proxies.
const fleet = 4

// trips measures the time from the failure that trips a breaker until the last
// of four proxies rejects, and how many requests reach the upstream meanwhile.
// An older control plane is measured in the same run, trip by trip.
func trips(m *machine, out *bytes.Buffer) (reached []target, err error) {
	binaries := []string{m.options.binary}
	if m.options.before != "" {
		binaries = append(binaries, m.options.before)
	}
	results := make([]tripResults, len(binaries))
	err = m.Scope(func() error {
		u, err := m.Upstream()
		if err != nil {
			return err
		}
		meshes := make([]*mesh, len(binaries))
		for i, binary := range binaries {
			meshes[i], err = m.meshOf(binary, payments(u.Address())+guard("  breaker: {consecutiveFailures: 5, waitDurationInOpenState: 500ms, successThreshold: 1}\n"+fallback), fleet)
			if err != nil {
				return err
			}
		}
		for n := range m.options.trips {
			m.options.say("trip %d of %d", n+1, m.options.trips)
			for i, s := range meshes {
				t, err := oneTrip(m, s, u)
				if err != nil {
					return err
				}
				results[i] = append(results[i], t)
			}
		}
		return nil
	})
	fmt.Fprintf(out, "## From a failure to the last of %d proxies\n\n", fleet)
	for i, all := range results {
		all.write(out, map[int]string{1: ", before"}[i])
	}
	return results[0].targets(), err
}

// tripResults has the figures for all trips.
type tripResults []tripResult

func (all tripResults) write(out *bytes.Buffer, which string) {
	fmt.Fprintf(out, "%d trips at %d requests/s over all proxies, consecutiveFailures: 5%s.\n\n| | p50 | p90 | p99 | most |\n|---|---|---|---|---|\n", len(all), steadyRate, which)
	row := func(what string, at func(share float64) any) {
		fmt.Fprintf(out, "| %s | %v | %v | %v | %v |\n", what, at(0.5), at(0.9), at(0.99), at(1))
	}
	row("from the failure that trips to the last proxy's first reject", func(q float64) any { return all.delay(q) })
	row("from the first failure of all", func(q float64) any { return all.whole(q) })
	row("failures in the run that tripped", func(q float64) any { return all.count(q, func(t tripResult) int { return t.run }) })
	row("requests that reach the upstream after the one that trips", func(q float64) any { return all.count(q, func(t tripResult) int { return t.strays }) })
	row("requests before the failures, for each one that is logged", func(q float64) any { return all.count(q, func(t tripResult) int { return t.oneIn }) })
	fmt.Fprintln(out)
}

func (all tripResults) targets() []target {
	last, whole, run := all.delay(0.99), all.whole(0.5), all.count(0.5, func(t tripResult) int { return t.run })
	return []target{
		{what: "from the failure that trips to the last of 4 Envoys rejecting, p99", want: "at most 100 ms", got: last.String(), met: last <= 100*time.Millisecond},
		{what: "from the first failure of all, p50", want: "at most 150 ms", got: whole.String(), met: whole <= 150*time.Millisecond},
		{what: "failures in the run that trips, p50", want: "at most 120", got: fmt.Sprint(run), met: run <= 120},
		{what: fmt.Sprintf("requests that reach the upstream after the trip, at %d requests/s", steadyRate), got: fmt.Sprintf("%d (p50), %d (most)",
			all.count(0.5, func(t tripResult) int { return t.strays }), all.count(1, func(t tripResult) int { return t.strays }))},
	}
}

func (all tripResults) delay(q float64) time.Duration {
	return all.time(q, func(t tripResult) time.Duration { return t.delay })
}

func (all tripResults) whole(q float64) time.Duration {
	return all.time(q, func(t tripResult) time.Duration { return t.whole })
}

// time returns a quantile of a duration of all trips.
func (all tripResults) time(q float64, of func(tripResult) time.Duration) time.Duration {
	return time.Duration(all.count(q, func(t tripResult) int { return int(of(t)) })).Round(100 * time.Microsecond)
}

// count returns a quantile of a figure of all trips.
func (all tripResults) count(q float64, of func(tripResult) int) int {
	var values []int
	for _, t := range all {
		values = append(values, of(t))
	}
	slices.Sort(values)
	return quantile(values, q)
}

// tripResult has the figures for one trip.
type tripResult struct {
	delay  time.Duration // from the failure that tripped the breaker until the last proxy rejects
	whole  time.Duration // from the first failure until the last proxy rejects
	strays int           // requests that reach the upstream after the failure that tripped the breaker
	run    int           // failures in the run that tripped the breaker
	oneIn  int           // requests for each logged one, in the last second before the failures
}

// oneTrip breaks the upstream under a steady load until all proxies reject, and mends it.
func oneTrip(m *machine, s *mesh, u *traffic.Upstream) (t tripResult, err error) {
	var failures traffic.Times
	var failing atomic.Bool
	u.Behave(func() bool {
		if failing.Load() {
			failures.Add(time.Now())
			return false
		}
		return true
	})
	calls, err := s.underLoad(func() error {
		m.Sleep(1500 * time.Millisecond) // gives the breaker a rate and a window
		before, err := s.metric("breakwater_feed_entries_total")
		if err != nil {
			return err
		}
		m.Sleep(time.Second)
		entries, err := s.metric("breakwater_feed_entries_total")
		if err != nil {
			return err
		}
		t.oneIn = int(math.Round(steadyRate / max(entries-before, 1)))
		failing.Store(true)
		err = s.state("open")
		m.Sleep(200 * time.Millisecond)
		return err
	})
	if err != nil {
		return t, err
	}
	b, err := s.breaker()
	if err != nil || b.Trip == nil {
		return t, fmt.Errorf("there was no trip: %w", err)
	}
	at := failures.Sorted()
	t.run = b.Trip.Window.Run
	if t.run < 1 || t.run > len(at) {
		return t, fmt.Errorf("a run of %d failures tripped it, and the upstream failed %d times", t.run, len(at))
	}
	last, err := traffic.LastToReject(calls)
	t.delay, t.whole, t.strays = max(0, last.Sub(at[t.run-1])), last.Sub(at[0]), len(at)-t.run
	failing.Store(false)
	return t, errors.Join(err, s.waitUntilClosed())
}

// underLoad puts a steady load on all proxies while f runs, and returns the calls through each proxy.
func (s *mesh) underLoad(f func() error) ([][]traffic.Call, error) { return s.underLoadOf(4, f) }

// underLoadOf is underLoad with a number of connections to each proxy.
func (s *mesh) underLoadOf(connections int, f func() error) ([][]traffic.Call, error) {
	ctx, stop := context.WithCancel(s.machine.Context)
	defer stop()
	calls := make([][]traffic.Call, len(s.proxies))
	problems := make([]error, len(s.proxies)+1)
	var wg sync.WaitGroup
	for i, p := range s.proxies {
		wg.Go(func() { calls[i], problems[i] = traffic.Steady(ctx, p.To("payments"), steadyRate/fleet, connections) })
	}
	problems[len(s.proxies)] = f()
	stop()
	wg.Wait()
	return calls, errors.Join(problems...)
}

// waitUntilClosed waits until the breaker is closed, and sends the requests that it needs as probes.
func (s *mesh) waitUntilClosed() error {
	return s.machine.WaitUntil("the breaker is closed", func() error {
		if _, err := traffic.Flood(s.machine.Context, s.proxies[0].To("payments"), 1, 10*time.Millisecond); err != nil {
			return err
		}
		b, err := s.breaker()
		if err == nil && b.State != "closed" {
			err = fmt.Errorf("the breaker is %s", b.State)
		}
		return err
	})
}

// halfOpen puts load on four proxies through many phases of half-open, and measures how many probes are in flight.
func halfOpen(m *machine, out *bytes.Buffer) (reached []target, err error) {
	const permitted = 3
	most, probes := int64(0), int64(0)
	err = m.Scope(func() error {
		u, err := m.Upstream()
		if err != nil {
			return err
		}
		s, err := m.mesh(payments(u.Address())+guard("  breaker: {consecutiveFailures: 1, waitDurationInOpenState: 200ms, successThreshold: 40, "+
			"permittedNumberOfCallsInHalfOpenState: 3, maxWaitDurationInHalfOpenState: 10m}\n"+fallback), fleet)
		if err != nil {
			return err
		}
		u.Behave(func() bool { return false })
		if _, err := traffic.Flood(m.Context, s.proxies[0].To("payments"), 1, 100*time.Millisecond); err != nil {
			return err
		}
		m.Sleep(time.Second) // until every proxy rejects
		u.Forget()
		// Each phase has some successful probes and ends with a failed one, so that the breaker never closes.
		var served atomic.Int64
		u.Behave(func() bool {
			time.Sleep(time.Millisecond)
			return served.Add(1)%20 != 0
		})
		ctx, stop := context.WithCancel(m.Context)
		defer stop()
		var wg sync.WaitGroup
		for _, p := range s.proxies {
			wg.Go(func() { _, _ = traffic.Flood(ctx, p.To("payments"), 4, time.Hour) })
		}
		err = m.WaitUntil("half-open, again and again", func() error {
			n, err := s.metric("circuit_breaker_transitions_total")
			if err == nil && n < float64(2*m.options.phases) {
				err = fmt.Errorf("%v transitions", n)
			}
			return err
		})
		stop()
		wg.Wait()
		probes, most = u.Seen()
		return err
	})
	fmt.Fprintf(out, "## Half-open\n\n%d phases, 4 connections as fast as they can to each of %d proxies, %d permits: %d probes, at most %d in flight.\n\n",
		m.options.phases, fleet, permitted, probes, most)
	return []target{{what: "requests in flight at the upstream in half-open, over 4 Envoys", want: fmt.Sprintf("never more than %d", permitted),
		got: fmt.Sprintf("%d at most, of %d probes", most, probes), met: most <= permitted && probes > 0}}, err
}
