package measure

import (
	"math"
	"slices"
)

// Spread is the quartiles of the values of all rounds: half of the values are between Low and High.
type Spread struct{ Low, Mid, High float64 }

// SpreadOf returns the quartiles of values; NaN if there are none.
func SpreadOf(values []float64) Spread {
	sorted := slices.Sorted(slices.Values(values))
	return Spread{Quantile(sorted, 0.25), Quantile(sorted, 0.5), Quantile(sorted, 0.75)}
}

// Quantile interpolates between the values, which must be sorted. It returns NaN if there are no values.
func Quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	place := q * float64(len(sorted)-1)
	below := int(place)
	if below == len(sorted)-1 {
		return sorted[below]
	}
	return sorted[below] + (place-float64(below))*(sorted[below+1]-sorted[below])
}
