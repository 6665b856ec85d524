package measure

import (
	"math/rand/v2"
	"time"
)

// Timing has the figures for a cell over all rounds.
type Timing struct {
	NS    Spread  // nanoseconds per call: from the beginning of the first call to the end of the last, divided by their number
	Ratio Spread  // NS divided by the first cell's NS, in the same round
	Extra Spread  // NS minus the last cell's NS, in the same round
	Wrong float64 // the share of calls that an open cell admitted, or that a closed cell rejected
}

// SideBySide times cells in many short rounds. In each round every cell runs once, for about the time each, and the order is
// random, so that other programs on the machine disturb all cells alike. There must be at least one cell.
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
			NS: SpreadOf(ns[i]), Ratio: SpreadOf(ratios), Extra: SpreadOf(extras),
			Wrong: float64(wrong[i]) / float64(rounds*sizes[i]),
		}
	}
	return result
}
