package main

import (
	"fmt"
	"slices"
	"strings"
)

// target is a figure that we want to reach. A missed target is only shown, because the machine may be slow or busy.
type target struct {
	what     string
	limit    float64
	atLeast  bool // the limit is a minimum; otherwise it is a maximum
	measured float64
	unit     string
}

// verdict returns "met", or by how much the target was missed.
func (t target) verdict() string {
	met, by := t.measured <= t.limit, t.measured/t.limit
	if t.atLeast {
		met, by = t.measured >= t.limit, t.limit/t.measured
	}
	switch {
	case met:
		return "met"
	case t.limit == 0:
		return "missed by " + strings.TrimSpace(fmt.Sprintf("%.3g %s", t.measured, t.unit))
	default:
		return fmt.Sprintf("missed by %.2fx", by)
	}
}

func (t target) want() string {
	sign := "<="
	if t.atLeast {
		sign = ">="
	}
	return strings.TrimSpace(fmt.Sprintf("%s %g %s", sign, t.limit, t.unit))
}

// targets returns the targets with the figures. Our breaker is the first row, and the peer to beat the second.
func targets(rows []row, flat []flatRow, l load) []target {
	mine, other := rows[0], rows[1]
	ns := func(column int) float64 { return mine.timings[column].NS.Mid }
	times := func(column int) float64 { return other.timings[column].Ratio.Mid }
	costliest := slices.MaxFunc(flat, func(a, b flatRow) int {
		return int(a.timing.Ratio.Mid*1000) - int(b.timing.Ratio.Mid*1000)
	})
	most := flat[len(flat)-1].breakers
	return []target{
		{what: "closed call, one goroutine", limit: 40, measured: ns(oneGoroutine), unit: "ns"},
		{what: "its allocations", limit: 0, measured: mine.allocations},
		{what: "two cores on one breaker: cost for each core, to one goroutine", limit: 2, measured: 2 * ns(twoCores) / ns(oneGoroutine), unit: "x"},
		{what: "faster than " + other.label, limit: 3, atLeast: true, measured: times(oneGoroutine), unit: "x"},
		{what: "the same, two cores on one breaker", limit: 4, atLeast: true, measured: times(twoCores), unit: "x"},
		{what: "the same, over many breakers", limit: 4, atLeast: true, measured: times(manyOne), unit: "x"},
		{what: "the same, over many breakers on two cores", limit: 4, atLeast: true, measured: times(manyTwo), unit: "x"},
		{what: "open breaker, beyond the clock", limit: 10, measured: mine.timings[openBreaker].Extra.Mid, unit: "ns"},
		{what: "an idle breaker", limit: 512, measured: mine.bytes, unit: "B"},
		{what: fmt.Sprintf("cost of a call among up to %d breakers, to one", most), limit: 3, measured: costliest.timing.Ratio.Mid, unit: "x"},
		{what: fmt.Sprintf("%d breakers with metrics, after scrapes", most), limit: 100, measured: megabytes(l.scraped), unit: "MB"},
		{what: "a scrape of them", limit: 1, measured: l.alone.median().Seconds(), unit: "s"},
	}
}

func megabytes(bytes uint64) float64 { return float64(bytes) / 1e6 }
