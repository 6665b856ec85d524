package main

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"os"
	"runtime/debug"

	"breakwater.dev/bench/internal/report"
)

var nan = math.NaN()

// run measures all configurations, and prints the tables.
func run(ctx context.Context, o options) error {
	debug.SetGCPercent(400) // the fleet has memory, and should leave the processor to the control plane
	var all []measured
	for _, c := range o.configs {
		if !o.only.MatchString(c.String()) {
			continue
		}
		m := measured{config: c}
		if o.before != "" {
			r, err := measureControl(ctx, o, "before", o.before, c)
			if err != nil {
				return err
			}
			m.before = r
		}
		r, err := measureControl(ctx, o, "ours", o.binary, c)
		if err != nil {
			return err
		}
		m.ours = r
		if c.isPlain() {
			if m.theirs, err = measurePeer(ctx, o, c, r.recording); err != nil {
				return err
			}
		}
		r.recording = nil
		all = append(all, m)
	}
	out := bufio.NewWriter(os.Stdout)
	for _, m := range all {
		writeConfig(out, m)
	}
	return out.Flush()
}

// row returns the row of a step; nil: it was not measured.
func (r *result) row(step string) *row {
	if r != nil {
		for i := range r.rows {
			if r.rows[i].step == step {
				return &r.rows[i]
			}
		}
	}
	return nil
}

// measured has all results of a configuration.
type measured struct {
	config               config
	before, ours, theirs *result // nil: not measured
}

func (m measured) results() (all []*result) {
	for _, r := range []*result{m.before, m.ours, m.theirs} {
		if r != nil {
			all = append(all, r)
		}
	}
	return all
}

func writeConfig(out *bufio.Writer, m measured) {
	fmt.Fprintf(out, "\n## %s\n\n", m.config)
	head := []string{""}
	for _, r := range m.results() {
		head = append(head, r.server+": s", "CPU s", "bytes", "responses", "again")
	}
	var lines [][]string
	for _, first := range m.ours.rows {
		line := []string{first.step}
		for _, r := range m.results() {
			w := r.row(first.step)
			if w == nil {
				line = append(line, "", "", "", "", "")
				continue
			}
			line = append(line, figure(w.seconds), figure(w.cpu), figure(w.bytes), figure(w.responses), fmt.Sprint(w.counts.Again))
		}
		lines = append(lines, line)
	}
	report.Table(out, head, lines)
	fmt.Fprintln(out)
	lines = nil
	for _, r := range m.results() {
		lines = append(lines, []string{r.server, figure(r.ready), figure(r.load), mib(r.synced), mib(r.end), mib(r.peak),
			fmt.Sprint(r.counts.Again), fmt.Sprint(r.counts.Lost), fmt.Sprint(r.counts.Refused), fmt.Sprint(r.counts.Ended)})
	}
	report.Table(out, []string{"", "ready, s", "load, CPU s", "memory after first sync, MB", "at the end, MB", "peak, MB", "sent again", "lost layers", "refusals", "streams ended"}, lines)
}

func figure(v float64) string {
	if math.IsNaN(v) {
		return "-"
	}
	return report.Number(v)
}

func mib(bytes int64) string { return report.Number(float64(bytes) / 1e6) }
