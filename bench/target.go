package main

import (
	"fmt"
	"slices"

	"breakwater.dev/bench/internal/report"
)

// targets returns the targets with the figures. Our breaker is the first row, and the peer to beat the second.
func targets(rows []row, flat []flatRow, l load) []report.Target {
	mine, other := rows[0], rows[1]
	ns := func(column int) float64 { return mine.timings[column].NS.Mid }
	times := func(column int) float64 { return other.timings[column].Ratio.Mid }
	costliest := slices.MaxFunc(flat, func(a, b flatRow) int {
		return int(a.timing.Ratio.Mid*1000) - int(b.timing.Ratio.Mid*1000)
	})
	most := flat[len(flat)-1].breakers
	return []report.Target{
		{What: "closed call, one goroutine", Limit: 40, Measured: ns(oneGoroutine), Unit: "ns"},
		{What: "its allocations", Limit: 0, Measured: mine.allocations},
		{What: "two cores on one breaker: cost for each core, to one goroutine", Limit: 2, Measured: 2 * ns(twoCores) / ns(oneGoroutine), Unit: "x"},
		{What: "faster than " + other.label, Limit: 3, AtLeast: true, Measured: times(oneGoroutine), Unit: "x"},
		{What: "the same, two cores on one breaker", Limit: 4, AtLeast: true, Measured: times(twoCores), Unit: "x"},
		{What: "the same, over many breakers", Limit: 4, AtLeast: true, Measured: times(manyOne), Unit: "x"},
		{What: "the same, over many breakers on two cores", Limit: 4, AtLeast: true, Measured: times(manyTwo), Unit: "x"},
		{What: "open breaker, beyond the clock", Limit: 10, Measured: mine.timings[openBreaker].Extra.Mid, Unit: "ns"},
		{What: "an idle breaker", Limit: 512, Measured: mine.bytes, Unit: "B"},
		{What: fmt.Sprintf("cost of a call among up to %d breakers, to one", most), Limit: 3, Measured: costliest.timing.Ratio.Mid, Unit: "x"},
		{What: fmt.Sprintf("%d breakers with metrics, after scrapes", most), Limit: 100, Measured: megabytes(l.scraped), Unit: "MB"},
		{What: "a scrape of them", Limit: 1, Measured: l.alone.median().Seconds(), Unit: "s"},
	}
}

func megabytes(bytes uint64) float64 { return float64(bytes) / 1e6 }
