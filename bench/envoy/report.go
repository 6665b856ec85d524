package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
)

// target is a figure with its target. An empty want means that there is no target, and the figure is only shown.
type target struct {
	what, want, got string
	met             bool
}

func writeTargets(w io.Writer, all []target) {
	fmt.Fprintf(w, "## Targets\n\n| what | target | measured | |\n|---|---|---|---|\n")
	for _, t := range all {
		verdict := "**missed**"
		if t.met {
			verdict = "met"
		}
		if t.want == "" {
			verdict = ""
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s |\n", t.what, t.want, t.got, verdict)
	}
	fmt.Fprintln(w)
}

// quantile returns the smallest value that is not below the given share of the sorted values, or 0 if there are none.
func quantile[T cmp.Ordered](sorted []T, share float64) (q T) {
	if len(sorted) == 0 {
		return q
	}
	return sorted[min(len(sorted)-1, max(0, int(math.Ceil(share*float64(len(sorted))))-1))]
}

// spread returns the median of values, and their quartiles.
func spread(values []float64) (median, low, high float64) {
	sorted := slices.Sorted(slices.Values(values))
	return quantile(sorted, 0.5), quantile(sorted, 0.25), quantile(sorted, 0.75)
}
