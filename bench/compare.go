package main

import (
	"math/rand/v2"
	"runtime"
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

// row is what was measured of one peer.
type row struct {
	label       string
	timings     [columns]*timing // nil: the peer has no part in the column
	allocations float64          // of a call of a closed breaker
	bytes       float64          // of one of many breakers that had one call each; 0: no part in it
}

// compare measures all columns, one after another, of the peers; ours is the first, the clock the last.
func compare(o options, all []peer) []row {
	random := rand.New(rand.NewPCG(o.seed, 2))
	d := newDirectory(o.many, o.many, random)
	rows := make([]row, len(all))
	for i := range all {
		rows[i].label = all[i].label()
	}
	var cells [columns][]*cell // by column and peer
	for column := range cells {
		cells[column] = make([]*cell, len(all))
	}
	for i := range all {
		p := &all[i]
		one := cell{calls: p.one(), cores: 1, lingers: p.lingers}
		rows[i].allocations = one.allocations(10_000)
		one.lingers = p.lingers || rows[i].allocations > 0
		two := one
		two.cores = 2
		cells[oneGoroutine][i], cells[twoCores][i] = &one, &two
		if p.open != nil {
			trip, calls := p.open()
			cells[openBreaker][i] = &cell{calls: calls, trip: trip, cores: 1, open: true, lingers: one.lingers}
		}
	}
	for _, column := range []int{oneGoroutine, twoCores, openBreaker} {
		o.say("compare, column %d of %d", column+1, columns)
		timeColumn(o, random, cells[column], rows, column)
	}
	// Only now are many breakers made: some of them change what garbage collection costs from here on.
	for i := range all {
		p := &all[i]
		if p.many == nil {
			continue
		}
		o.say("%d breakers of %s", o.many, p.name)
		bytes, calls := held(func() loop {
			calls := p.many(d)
			calls(len(d.order), 0)
			if p.lingers {
				quiesce()
			}
			return calls
		})
		rows[i].bytes = float64(bytes) / float64(o.many)
		one, two := *cells[oneGoroutine][i], *cells[twoCores][i]
		one.calls, two.calls = calls, calls
		cells[manyOne][i], cells[manyTwo][i] = &one, &two
	}
	for _, column := range []int{manyOne, manyTwo} {
		o.say("compare, column %d of %d", column+1, columns)
		timeColumn(o, random, cells[column], rows, column)
	}
	runtime.KeepAlive(d)
	return rows
}

// timeColumn times the cells that there are and puts the timings into the rows.
func timeColumn(o options, random *rand.Rand, cells []*cell, rows []row, column int) {
	var present []cell
	var of []int
	for i, c := range cells {
		if c != nil {
			present, of = append(present, *c), append(of, i)
		}
	}
	for k, t := range sideBySide(o, random, present) {
		rows[of[k]].timings[column] = &t
	}
}
