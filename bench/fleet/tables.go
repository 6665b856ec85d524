package main

import (
	"fmt"
	"io"
	"math"
	"slices"

	"breakwater.dev/bench/internal/report"
)

// writeConfig writes the tables of one configuration.
func writeConfig(out io.Writer, m measured) {
	fmt.Fprintf(out, "\n## %s\n\n", m.config)
	head := []string{""}
	for _, r := range m.results() {
		head = append(head, r.server+": s", "CPU s", "bytes", "responses")
	}
	var lines [][]string
	for _, step := range m.steps() {
		line := []string{step}
		for _, r := range m.results() {
			w := r.row(step)
			if w == nil {
				w = &row{seconds: nan, cpu: nan, bytes: nan, responses: nan}
			}
			line = append(line, figure(w.seconds), figure(w.cpu), figure(w.bytes), figure(w.responses))
		}
		lines = append(lines, line)
	}
	report.Table(out, head, lines)
	fmt.Fprintln(out)
	lines = nil
	for _, r := range m.results() {
		lines = append(lines, []string{
			r.server, figure(r.ready), figure(r.load), megabytes(r.synced), megabytes(r.end), megabytes(r.peak),
			fmt.Sprint(r.counts.Again), fmt.Sprint(r.counts.Lost), fmt.Sprint(r.counts.Refused), fmt.Sprint(r.counts.Ended),
		})
	}
	report.Table(out, []string{
		"", "ready, s", "load, CPU s", "MB after first sync", "MB at the end", "peak MB",
		"sent again", "lost layers", "refusals", "streams ended",
	}, lines)
	for _, r := range m.results() {
		for _, w := range r.rows {
			if w.note != "" {
				fmt.Fprintf(out, "\n%s, %s: %s.\n", r.server, w.step, w.note)
			}
		}
	}
}

func figure(v float64) string {
	if math.IsNaN(v) {
		return "-"
	}
	return report.Number(v)
}

func megabytes(bytes int64) string { return report.Number(mb(bytes)) }

func mb(bytes int64) float64 { return float64(bytes) / 1e6 }

// square is two numbers of proxies and two of upstreams, between which exponents are computed.
type square struct{ fewProxies, manyProxies, fewUpstreams, manyUpstreams int }

// squareOf finds the numbers of the plain configurations; ok: all four were measured.
func squareOf(all []measured) (s square, ok bool) {
	var proxies, upstreams []int
	for _, m := range all {
		if m.config.isPlain() {
			proxies, upstreams = append(proxies, m.config.proxies), append(upstreams, m.config.upstreams)
		}
	}
	if len(proxies) == 0 {
		return s, false
	}
	s = square{slices.Min(proxies), slices.Max(proxies), slices.Min(upstreams), slices.Max(upstreams)}
	for _, p := range []int{s.fewProxies, s.manyProxies} {
		for _, u := range []int{s.fewUpstreams, s.manyUpstreams} {
			if _, found := find(all, config{proxies: p, upstreams: u}); !found {
				return s, false
			}
		}
	}
	return s, s.fewProxies < s.manyProxies && s.fewUpstreams < s.manyUpstreams
}

// writeGrowth writes with which exponents time and CPU time grow.
func writeGrowth(out io.Writer, all []measured) {
	s, ok := squareOf(all)
	if !ok {
		return
	}
	fmt.Fprintf(out, "\n## Growth\n\nAn exponent of 1 means that twice as many cost twice as much. Costs below %g s have none.\n\n", leastCost)
	at := func(proxies, upstreams int) measured {
		m, _ := find(all, config{proxies: proxies, upstreams: upstreams})
		return m
	}
	most := at(s.manyProxies, s.manyUpstreams)
	head := []string{""}
	for _, what := range []string{"s", "CPU s"} {
		head = append(head, fmt.Sprintf("%s, by proxies, at %d upstreams", what, s.manyUpstreams), fmt.Sprintf("%s, by upstreams, at %d proxies", what, s.manyProxies))
	}
	var lines [][]string
	for _, server := range most.results() {
		of := func(m measured) *result {
			for _, r := range m.results() {
				if r.server == server.server {
					return r
				}
			}
			return nil
		}
		fewProxies, fewUpstreams := of(at(s.fewProxies, s.manyUpstreams)), of(at(s.manyProxies, s.fewUpstreams))
		for _, w := range server.rows {
			if w.step == idle || w.step == heartbeats {
				continue
			}
			line := []string{server.server + ": " + w.step}
			for _, figure := range []func(*result, string) float64{(*result).seconds, (*result).cpu} {
				line = append(line,
					exponent(figure(fewProxies, w.step), figure(server, w.step), s.fewProxies, s.manyProxies),
					exponent(figure(fewUpstreams, w.step), figure(server, w.step), s.fewUpstreams, s.manyUpstreams))
			}
			lines = append(lines, line)
		}
	}
	report.Table(out, head, lines)
}

// leastCost is the least cost, in seconds, that tells an exponent. CPU time comes in steps of 10 ms.
const leastCost = 0.02

// exponent returns with which exponent a cost grows from few to many.
func exponent(atFew, atMany float64, few, many int) string {
	if !(atFew >= leastCost && atMany >= leastCost) {
		return "-"
	}
	return fmt.Sprintf("%.2f", math.Log(atMany/atFew)/math.Log(float64(many)/float64(few)))
}

// writePeer writes our costs as multiples of the linear caches' costs.
func writePeer(out io.Writer, all []measured) {
	var lines [][]string
	for _, m := range all {
		if m.theirs == nil {
			continue
		}
		alone, _ := find(all, config{upstreams: m.config.upstreams})
		for _, theirs := range m.theirs.rows {
			lines = append(lines, []string{
				m.config.String(), theirs.step,
				ratio(m.ours.cpu(theirs.step), theirs.cpu), ratio(netOf(m.ours, alone.ours, theirs.step), theirs.cpu),
			})
		}
		lines = append(lines, []string{m.config.String(), "memory after the first sync", ratio(mb(m.ours.synced), mb(m.theirs.synced)), ""})
		lines = append(lines, []string{m.config.String(), "most memory", ratio(mb(m.ours.peak), mb(m.theirs.peak)), ""})
	}
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(out, "\n## Ours, as a multiple of the linear caches\n\nThe last column is without the CPU time that the same step takes with no proxies:\n"+
		"reading policies, which the linear caches do not do.\n\n")
	report.Table(out, []string{"", "", "CPU or memory", "CPU without the policies"}, lines)
}

// netOf returns the CPU time of a step, less the CPU time of the same step with no proxies.
func netOf(r, alone *result, step string) float64 {
	switch step {
	case firstSync:
		return r.cpu(step)
	case killed:
		return r.cpu(step) - r.load
	}
	return max(0, r.cpu(step)-alone.cpu(step))
}

func ratio(ours, theirs float64) string {
	if math.IsNaN(ours) || theirs <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.2fx", ours/theirs)
}
