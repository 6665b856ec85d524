package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"breakwater.dev/bench/internal/measure"
	"breakwater.dev/bench/internal/report"
	"breakwater.dev/bench/internal/traffic"
)

// steadyRate is the calls a second in sum, and busyRate is more: both are far from what two cores can do.
const steadyRate, busyRate = 1_500, 4_500

// mode is a way in which outcomes reach the control plane.
type mode struct {
	name, prefix, fields string
	each                 int     // breakers of each owner that have calls
	rate                 float64 // calls a second
	fails                bool
}

var modes = []mode{
	{"every call fails and is logged", "logged", "mode: MetricsOnly", 4, steadyRate, true},
	{"the same, three times as many", "logged", "mode: MetricsOnly", 4, busyRate, true},
	{"healthy calls, sampled", "sampled", "dataPath: Adaptive", 1, steadyRate, false},
	{"healthy calls, Inline", "inline", "dataPath: Inline", 4, steadyRate, false},
}

// candidates is how many breakers each mode has in the policy, so that each replica owns as many of them as have calls.
const candidates = 40

// policyOf returns the policy for all modes. Their calls go to one service.
func policyOf(service *traffic.Upstream) string {
	var policy strings.Builder
	made := map[string]bool{}
	for _, m := range modes {
		if made[m.prefix] {
			continue
		}
		made[m.prefix] = true
		policy.WriteString(upstreams(m.prefix, candidates, service.Address(), m.fields))
	}
	return policy.String()
}

// hosts returns the upstreams of a mode that have calls: as many of each owner.
func (m mode) hosts(s *setup) (hosts []string, err error) {
	owned, err := s.owned(m.prefix + "-")
	if err != nil {
		return nil, err
	}
	for _, of := range owned {
		slices.Sort(of)
		hosts = append(hosts, of[:min(m.each, len(of))]...)
	}
	if len(hosts) != m.each*len(s.replicas) {
		return nil, fmt.Errorf("of the breakers %s replicas own %v", m.prefix, owned)
	}
	return hosts, nil
}

// cell has the CPU time of all replicas of a setup in one round.
type cell struct {
	busy  float64 // microseconds for each call, the idle ones included
	extra float64 // the same, without what the replicas take when there are no calls
	share float64 // busy, in percent of a core
}

// costs measures the CPU time of all replicas for each outcome. Both setups are alive all the time. In each round each of them
// has calls in turn, and none has calls for the time in between.
func costs(b *bench, out *bytes.Buffer) ([]report.Target, error) {
	service, err := b.Upstream()
	if err != nil {
		return nil, err
	}
	both, err := b.both(policyOf(service))
	if err != nil {
		return nil, err
	}
	hosts := make([][]string, len(modes))
	for i, m := range modes {
		if hosts[i], err = m.hosts(both[1]); err != nil {
			return nil, err
		}
	}
	cells := make([][2][]cell, len(modes))
	var idles [2][]float64
	b.Sleep(3 * time.Second)
	for round := range b.options.rounds {
		b.say("CPU, round %d of %d", round+1, b.options.rounds)
		idle, err := idle(b, both)
		if err != nil {
			return nil, err
		}
		for i := range both {
			idles[i] = append(idles[i], 100*idle[i])
		}
		for m := range modes {
			service.Behave(func() bool { return !modes[m].fails })
			for turn := range both {
				i := (turn + round) % len(both)
				c, err := both[i].busy(hosts[m], modes[m].rate, idle[i])
				if err != nil {
					return nil, fmt.Errorf("%s replicas, %s: %w", both[i].name, modes[m].name, err)
				}
				cells[m][i] = append(cells[m][i], c)
			}
		}
	}
	return writeCosts(out, b.options.cell, cells, idles), nil
}

// idle returns which share of a core the replicas of each setup take while there are no calls.
func idle(b *bench, both [2]*setup) (shares [2]float64, err error) {
	var before [2]time.Duration
	for i, s := range both {
		if before[i], err = s.cpu(); err != nil {
			return shares, err
		}
	}
	began := time.Now()
	b.Sleep(b.options.cell)
	took := time.Since(began)
	for i, s := range both {
		after, err := s.cpu()
		if err != nil {
			return shares, err
		}
		shares[i] = (after - before[i]).Seconds() / took.Seconds()
	}
	return shares, nil
}

// busy measures a setup under load. idle is the share of a core that it takes without.
func (s *setup) busy(hosts []string, rate, idle float64) (c cell, err error) {
	var used, took time.Duration
	calls, err := s.underLoad(hosts, rate/float64(len(hosts)), func() error {
		s.Sleep(time.Second) // connections are made, and samples become as they should
		before, err := s.cpu()
		if err != nil {
			return err
		}
		began := time.Now()
		s.Sleep(s.options.cell)
		took = time.Since(began)
		after, err := s.cpu()
		used = after - before
		return err
	})
	if err != nil {
		return c, err
	}
	n := 0
	for _, of := range calls {
		for _, proxy := range of {
			n += len(proxy)
		}
	}
	// Calls of the second before are in n, too.
	perSecond := float64(n) / (took + time.Second).Seconds()
	share := used.Seconds() / took.Seconds()
	return cell{busy: 1e6 * share / perSecond, extra: 1e6 * (share - idle) / perSecond, share: 100 * share}, nil
}

// writeCosts writes the table of CPU times, and returns the targets.
func writeCosts(out *bytes.Buffer, cellLasts time.Duration, cells [][2][]cell, idles [2][]float64) (reached []report.Target) {
	fmt.Fprintf(out, "\n## What outcomes cost the replicas\n\n%d calls/s over %d proxies; CPU time of all control planes in sum. Medians of %d rounds of %s, and in brackets the quartiles.\n\n", steadyRate, fleet, len(idles[0]), cellLasts)
	var lines [][]string
	for m, both := range cells {
		ratio := func(of func(cell) float64) (measure.Spread, string) {
			s := measure.SpreadOf(ratios(both, of))
			return s, fmt.Sprintf("%.2fx (%.2f-%.2f)", s.Mid, s.Low, s.High)
		}
		column := func(i int, of func(cell) float64) string { return report.Number(figure(both[i], 0.5, of)) }
		extra, without := ratio(func(c cell) float64 { return c.extra })
		_, with := ratio(func(c cell) float64 { return c.busy })
		share := func(c cell) float64 { return c.share }
		lines = append(lines, []string{modes[m].name,
			column(0, func(c cell) float64 { return c.extra }), column(1, func(c cell) float64 { return c.extra }), without,
			column(0, func(c cell) float64 { return c.busy }), column(1, func(c cell) float64 { return c.busy }), with, column(0, share), column(1, share)})
		reached = append(reached, report.Target{What: "CPU of three replicas for an outcome, to one: " + modes[m].name, Limit: 1.6, Measured: extra.Mid, Unit: "x"})
	}
	report.Table(out, []string{"ms of CPU for 1,000 outcomes", "one", "three", "ratio", "with idle: one", "three", "ratio", "% of a core: one", "three"}, lines)
	fmt.Fprintf(out, "\nWithout calls: one takes %s %% of a core, three %s %%.\n",
		report.Number(measure.SpreadOf(idles[0]).Mid), report.Number(measure.SpreadOf(idles[1]).Mid))
	return reached
}

// ratios returns a figure of three replicas divided by the same figure of one, round by round.
func ratios(both [2][]cell, of func(cell) float64) []float64 {
	all := make([]float64, len(both[0]))
	for i := range all {
		all[i] = of(both[1][i]) / of(both[0][i])
	}
	return all
}
