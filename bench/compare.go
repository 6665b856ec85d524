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
	openBreaker         // an open breaker rejects
	columns
)

// row is what was measured about one peer.
type row struct {
	label       string
	timings     [columns]*measure.Timing // nil where the peer has no part in the column
	allocations float64                  // by one call of a closed breaker
	bytes       float64                  // per breaker, of many that had one call each; 0 where the peer has no part in it
}

// compare measures all columns, one after another. Ours is the first of the peers, the clock the last.
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
	// Only now are many breakers made: some of them change what garbage collection costs from here on.
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

// timeColumn times the cells of a column and puts the timings into the rows. A nil cell has no part in it.
func timeColumn(o options, random *rand.Rand, cells []*measure.Cell, rows []row, column int) {
	var present []measure.Cell
	var of []int
	for i, c := range cells {
		if c != nil {
			present, of = append(present, *c), append(of, i)
		}
	}
	for k, t := range measure.SideBySide(o.rounds, o.cell, random, present) {
		rows[of[k]].timings[column] = &t
	}
}
