package main

import (
	"fmt"
	"io"
	"math"
	"slices"

	"breakwater.dev/bench/internal/report"
)

// The configurations that have targets.
var (
	largest = config{proxies: 1_000, upstreams: 5_000}
	listing = config{proxies: 1_000, upstreams: 5_000, list: 20}
	reading = config{upstreams: 20_000}
)

// writeTargets holds the figures against our targets. A figure that was not measured is left out.
func writeTargets(out io.Writer, all []measured) {
	var targets []report.Target
	add := func(what string, limit, got float64, unit string) {
		targets = append(targets, report.Target{What: what, Limit: limit, Measured: got, Unit: unit})
	}
	if m, ok := find(all, largest); ok {
		largestTargets(add, m)
	}
	if m, ok := find(all, listing); ok {
		worst := 0.
		for _, step := range []string{endpoint, timeout, added, removed} {
			worst = worse(worst, m.ours.cpu(step))
		}
		add(m.config.String()+": CPU of the costliest change", 0.3, worst, "s")
		add(m.config.String()+": memory", 300, mb(m.ours.peak), "MB")
	}
	if m, ok := find(all, reading); ok {
		add(m.config.String()+": time to load", 10, m.ours.ready, "s")
		add(m.config.String()+": CPU to reload one change", 0.3, m.ours.cpu(endpoint), "s")
	}
	again, lost := int64(0), int64(0)
	for _, m := range all {
		again, lost = again+m.ours.counts.Again, lost+m.ours.counts.Lost
	}
	add("resources sent again that a proxy has", 0, float64(again), "")
	add("runtime layers that expired", 0, float64(lost), "")
	report.Targets(out, targets)
}

func largestTargets(add func(what string, limit, got float64, unit string), m measured) {
	for _, step := range []string{endpoint, timeout, added} {
		what := fmt.Sprintf("%s: %s", m.config, step)
		add(what, 1, known(m.ours.seconds(step)), "s")
		add(what+", CPU", 1, m.ours.cpu(step), "s")
		add(what+", bytes a proxy", 2_000, m.ours.bytes(step), "B")
	}
	add(m.config.String()+": memory", 1_000, mb(m.ours.peak), "MB")
	many := fmt.Sprintf(opensMany, most)
	add(m.config.String()+": "+many, 2, known(m.ours.seconds(many)), "s")
	add(m.config.String()+": the same, bytes a proxy", 200_000, m.ours.bytes(many), "B")
	if m.theirs == nil {
		return
	}
	cpu := 0.
	for _, w := range m.theirs.rows {
		if w.step != firstSync && w.step != killed {
			cpu = worse(cpu, m.ours.cpu(w.step)/w.cpu)
		}
	}
	add(m.config.String()+": CPU of a change, to linear caches", 1, cpu, "x")
	for _, step := range []string{firstSync, killed} {
		add(fmt.Sprintf("%s: CPU of %q, to linear caches", m.config, step), 1, m.ours.cpu(step)/m.theirs.cpu(step), "x")
	}
	add(m.config.String()+": memory, to linear caches", 1, mb(m.ours.peak)/mb(m.theirs.peak), "x")
}

// known returns a figure that is infinite where none was measured, since not all proxies had the change in time.
func known(v float64) float64 {
	if math.IsNaN(v) {
		return math.Inf(1)
	}
	return v
}

// worse returns the larger of two figures.
func worse(a, b float64) float64 { return slices.Max([]float64{a, b}) }
