package measure

import (
	"math/rand/v2"
	"time"
)

// Timing is what the rounds say about a cell.
type Timing struct {
	NS    Spread  // nanoseconds per call: from the beginning of the first call to the end of the last, divided by their number
	Ratio Spread  // to the first cell, in the same round
	Extra Spread  // NS minus that of the last cell, in the same round
	Wrong float64 // the share of calls that an open cell admitted, or that a closed one rejected
}

// SideBySide times cells in many short rounds. Each cell runs once in each round, for about as long as each says, and in
// another order, so that whatever else the machine does meets all of them. There is at least one cell.
func SideBySide(rounds int, each time.Duration, random *rand.Rand, cells []Cell) []Timing {
	sizes := make([]int, len(cells))
	for i := range cells {
		sizes[i] = cells[i].size(each)
	}
	ns := make([][]float64, len(cells)) // by cell and round
	wrong := make([]int, len(cells))
	for range rounds {
		for _, i := range random.Perm(len(cells)) {
			took, bad := cells[i].run(sizes[i])
			ns[i] = append(ns[i], float64(took.Nanoseconds())/float64(sizes[i]))
			wrong[i] += bad
		}
	}
	result := make([]Timing, len(cells))
	last := len(cells) - 1
	for i := range cells {
		ratios, extras := make([]float64, rounds), make([]float64, rounds)
		for r := range rounds {
			ratios[r] = ns[i][r] / ns[0][r]
			extras[r] = ns[i][r] - ns[last][r]
		}
		result[i] = Timing{
			NS: spreadOf(ns[i]), Ratio: spreadOf(ratios), Extra: spreadOf(extras),
			Wrong: float64(wrong[i]) / float64(rounds*sizes[i]),
		}
	}
	return result
}
