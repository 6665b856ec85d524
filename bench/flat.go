package main

import "math/rand/v2"

// flatRow is what a call costs among so many breakers; the ratios are to one breaker.
type flatRow struct {
	breakers int
	timing   timing
	floor    timing // of the least that has to be done: find by name, read the clock, count under a mutex
}

// flatCost measures calls of our engine by how many breakers there are: the same
// loop over an order of the same length, only the number of different names in it
// differs. The floor, measured alike, tells what of the growth is the machine's memory.
func flatCost(o options) []flatRow {
	random := rand.New(rand.NewPCG(o.seed, 1))
	var rows []flatRow
	var engines, floors []cell
	for n := 1; n <= o.most; n *= 10 {
		d := newDirectory(n, o.most, random)
		rows = append(rows, flatRow{breakers: n})
		engines = append(engines, used(ours().many(d), len(d.order)))
		floors = append(floors, used(mutexFloor().many(d), len(d.order)))
	}
	o.say("cost by number of breakers, up to %d", o.most)
	for i, t := range sideBySide(o, random, engines) {
		rows[i].timing = t
	}
	for i, t := range sideBySide(o, random, floors) {
		rows[i].floor = t
	}
	return rows
}

// used is a cell of breakers each of which has had calls.
func used(calls loop, n int) cell {
	calls(n, 0)
	return cell{calls: calls, cores: 1}
}
