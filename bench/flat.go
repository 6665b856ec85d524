package main

import (
	"math/rand/v2"

	"breakwater.dev/bench/internal/measure"
	"breakwater.dev/bench/internal/peers"
)

// flatRow has the cost of a call among a number of breakers. The ratios are to one breaker.
type flatRow struct {
	breakers int
	timing   measure.Timing
	floor    measure.Timing // the minimum for any breaker: find a counter by name, read the clock, count under a mutex
}

// flatCost measures calls of our engine with different numbers of breakers. The loop and the length of its order are the
// same; only the number of different names differs. The floor, measured in the same way, shows how much of the growth comes
// from the machine's memory.
func flatCost(o options) []flatRow {
	random := rand.New(rand.NewPCG(o.seed, 1))
	var rows []flatRow
	var engines, floors []measure.Cell
	for n := 1; n <= o.most; n *= 10 {
		d := peers.NewDirectory(n, o.most, random)
		rows = append(rows, flatRow{breakers: n})
		engines = append(engines, warmedUp(peers.Ours().Many(d), len(d.Order)))
		floors = append(floors, warmedUp(peers.MutexFloor().Many(d), len(d.Order)))
	}
	o.say("cost by number of breakers, up to %d", o.most)
	for i, t := range measure.SideBySide(o.rounds, o.cell, random, engines) {
		rows[i].timing = t
	}
	for i, t := range measure.SideBySide(o.rounds, o.cell, random, floors) {
		rows[i].floor = t
	}
	return rows
}

// warmedUp returns a cell whose breakers have all had calls.
func warmedUp(calls measure.Loop, n int) measure.Cell {
	calls(n, 0)
	return measure.Cell{Calls: calls, Cores: 1}
}
