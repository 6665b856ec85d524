package main

import (
	"math/rand/v2"

	"breakwater.dev/bench/internal/measure"
	"breakwater.dev/bench/internal/peers"
)

// flatRow is what a call costs among so many breakers; the ratios are to one breaker.
type flatRow struct {
	breakers int
	timing   measure.Timing
	floor    measure.Timing // the least work that any breaker needs: find a counter by name, read the clock, count under a mutex
}

// flatCost measures calls of our engine by how many breakers there are. The
// loop and the length of its order are the same, only the number of different names in it
// differs. The floor is measured in the same way, and shows how much of the growth is due to the machine's memory.
func flatCost(o options) []flatRow {
	random := rand.New(rand.NewPCG(o.seed, 1))
	var rows []flatRow
	var engines, floors []measure.Cell
	for n := 1; n <= o.most; n *= 10 {
		d := peers.NewDirectory(n, o.most, random)
		rows = append(rows, flatRow{breakers: n})
		engines = append(engines, used(peers.Ours().Many(d), len(d.Order)))
		floors = append(floors, used(peers.MutexFloor().Many(d), len(d.Order)))
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

// used returns a cell whose breakers have all had calls.
func used(calls measure.Loop, n int) measure.Cell {
	calls(n, 0)
	return measure.Cell{Calls: calls, Cores: 1}
}
