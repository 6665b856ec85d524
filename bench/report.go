package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"breakwater.dev/bench/internal/measure"
	"breakwater.dev/bench/internal/report"
)

// timed prints nanoseconds, and the median of the ratios with its quartiles.
func timed(t *measure.Timing) string {
	if t == nil {
		return "-"
	}
	return fmt.Sprintf("%s %s", report.Number(t.NS.Mid), ratio(t.Ratio))
}

func ratio(s measure.Spread) string {
	if s == (measure.Spread{Low: 1, Mid: 1, High: 1}) {
		return "1x"
	}
	return fmt.Sprintf("%sx (%s-%s)", report.Number(s.Mid), report.Number(s.Low), report.Number(s.High))
}

// tolerable is the share of calls that may be admitted or rejected against the column's title without a note. Breakers that
// reject at random, or that probe after a second, admit some calls in the column "open".
const tolerable = 0.001

func writeComparison(w io.Writer, o options, rows []row) {
	fmt.Fprintf(w, "\n## A call, beside other breakers\n\nNanoseconds per call, and how many times ours that is: median and quartiles of the rounds.\n"+
		"Closed breakers admit each call and record its success; an open one rejects it.\n\n")
	names := [columns]string{
		"one breaker", "one, two cores", fmt.Sprintf("%d breakers", o.many), fmt.Sprintf("%d, two cores", o.many), "open",
	}
	head := append([]string{""}, names[:]...)
	head = append(head, "allocations", "bytes each")
	var lines [][]string
	var notes []string
	for _, r := range rows {
		line := []string{r.label}
		for column, t := range r.timings {
			line = append(line, timed(t))
			if t != nil && t.Wrong > tolerable {
				notes = append(notes, fmt.Sprintf("%s, %s: %.2g%% of the calls were not", r.label, names[column], t.Wrong*100))
			}
		}
		bytes := "-"
		if r.bytes > 0 {
			bytes = fmt.Sprintf("%.0f", r.bytes)
		}
		lines = append(lines, append(line, strings.TrimSuffix(fmt.Sprintf("%.1f", r.allocations), ".0"), bytes))
	}
	report.Table(w, head, lines)
	if both := parallel(rows[len(rows)-1]); both < 1.6 {
		notes = append(notes, fmt.Sprintf("The two cores did the work of %.1f: others ran on them, and the columns of two cores say little.", both))
	}
	for _, note := range notes {
		fmt.Fprintf(w, "\n%s\n", note)
	}
}

// parallel returns how many times faster two cores were than one when they only read the clock, which shares no memory.
func parallel(clock row) float64 {
	one, two := clock.timings[oneGoroutine], clock.timings[twoCores]
	return one.NS.Mid / two.NS.Mid
}

func writeFlat(w io.Writer, rows []flatRow) {
	fmt.Fprintf(w, "\n## A call, by how many breakers there are\n\nNanoseconds per call, found by key in random order; the ratio is to one breaker.\n"+
		"The floor finds a counter by name in a map, reads the clock, and counts under a mutex.\n\n")
	var lines [][]string
	for _, r := range rows {
		lines = append(lines, []string{fmt.Sprint(r.breakers), timed(&r.timing), timed(&r.floor)})
	}
	report.Table(w, []string{"breakers", "ours", "floor"}, lines)
}

func writeLoad(w io.Writer, o options, l load) {
	fmt.Fprintf(w, "\n## %d breakers that have had calls\n\n", o.most)
	memory := func(bytes uint64) string {
		return fmt.Sprintf("%.1f MB, %d B a breaker", megabytes(bytes), bytes/uint64(o.most))
	}
	took := func(s scrapes) string {
		return fmt.Sprintf("median %s, worst %s, %.1f MB", rounded(s.median()), rounded(s.worst()), megabytes(uint64(s.bytes)))
	}
	calls := func(h *measure.Histogram) string {
		return fmt.Sprintf("p50 %s, p99 %s, max %s, %d calls", h.Quantile(0.5), h.Quantile(0.99), rounded(h.Max()), h.Total())
	}
	report.Table(w, []string{"", "measured"}, [][]string{
		{"memory of the engine", memory(l.engine)},
		{"with metrics", memory(l.metrics)},
		{"with metrics, after scrapes", memory(l.scraped)},
		{"a scrape", took(l.alone)},
		{"a scrape while calls go on", took(l.busy)},
		{"a call without scrapes", calls(l.calm)},
		{"a call while scrapes go on", calls(l.disturbed)},
	})
}

// rounded prints three digits of a duration.
func rounded(d time.Duration) time.Duration {
	unit := time.Duration(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit)
}
