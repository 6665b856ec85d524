package main

import (
	"math/rand/v2"
	"runtime"

	"breakwater.dev/bench/internal/measure"
	"breakwater.dev/bench/internal/peers"
)

// The columns that are timed.
const (
	oneGoroutine = iota // one closed breaker
	twoCores            // the same breaker, on two cores
	manyOne             // many breakers, one goroutine
	manyTwo             // many breakers, two cores
	openBreaker         // an open breaker, which rejects each call
	columns
)

// row has the figures for one peer.
type row struct {
	label       string
	timings     [columns]*measure.Timing // nil: the peer is not measured in the column
	allocations float64                  // per call of a closed breaker
	bytes       float64                  // per breaker, among many that had one call each; 0: not measured
}

// compare measures all columns, one after another. Our breaker is the first peer, and the clock the last.
func compare(o options, all []peers.Peer) []row {
	random := rand.New(rand.NewPCG(o.seed, 2))
	d := peers.NewDirectory(o.many, o.many, random)
	rows := make([]row, len(all))
	for i := range all {
		rows[i].label = all[i].Label()
	}
	var cells [columns][]*measure.Cell // by column and peer
	for column := range cells {
		cells[column] = make([]*measure.Cell, len(all))
	}
	for i := range all {
		p := &all[i]
		one := measure.Cell{Calls: p.One(), Cores: 1, Lingers: p.Lingers}
		rows[i].allocations = one.Allocations(10_000)
		one.Lingers = p.Lingers || rows[i].allocations > 0
		two := one
		two.Cores = 2
		cells[oneGoroutine][i], cells[twoCores][i] = &one, &two
		if p.Open != nil {
			trip, calls := p.Open()
			cells[openBreaker][i] = &measure.Cell{Calls: calls, Trip: trip, Cores: 1, Open: true, Lingers: one.Lingers}
		}
	}
	for _, column := range []int{oneGoroutine, twoCores, openBreaker} {
		o.say("compare, column %d of %d", column+1, columns)
		timeColumn(o, random, cells[column], rows, column)
	}
	// The columns with many breakers come last, because garbage collection costs more once these exist.
	for i := range all {
		p := &all[i]
		if p.Many == nil {
			continue
		}
		o.say("%d breakers of %s", o.many, p.Name)
		bytes, calls := measure.Held(func() measure.Loop {
			calls := p.Many(d)
			calls(len(d.Order), 0)
			if p.Lingers {
				measure.Quiesce()
			}
			return calls
		})
		rows[i].bytes = float64(bytes) / float64(o.many)
		one, two := *cells[oneGoroutine][i], *cells[twoCores][i]
		one.Calls, two.Calls = calls, calls
		cells[manyOne][i], cells[manyTwo][i] = &one, &two
	}
	for _, column := range []int{manyOne, manyTwo} {
		o.say("compare, column %d of %d", column+1, columns)
		timeColumn(o, random, cells[column], rows, column)
	}
	runtime.KeepAlive(d)
	return rows
}

// timeColumn times the cells of a column, and puts the timings into the rows. Peers that are not measured in the column
// have a nil cell.
func timeColumn(o options, random *rand.Rand, cells []*measure.Cell, rows []row, column int) {
	var present []measure.Cell
	var indexes []int
	for i, c := range cells {
		if c != nil {
			present, indexes = append(present, *c), append(indexes, i)
		}
	}
	for k, t := range measure.SideBySide(o.rounds, o.cell, random, present) {
		rows[indexes[k]].timings[column] = &t
	}
}
