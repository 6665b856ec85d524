package main

import (
	"testing"
)

func TestQuantile(t *testing.T) {
	sorted := []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for share, want := range map[float64]int{0: 1, 0.5: 5, 0.99: 10, 1: 10, 0.11: 2} {
		if got := quantile(sorted, share); got != want {
			t.Errorf("quantile %v is %d, want %d", share, got, want)
		}
	}
	if got := quantile([]int(nil), 0.5); got != 0 {
		t.Errorf("the quantile of no values is %d, want 0", got)
	}
	if median, low, high := spread([]float64{4, 1, 3, 2}); median != 2 || low != 1 || high != 3 {
		t.Errorf("median %v, quartiles %v and %v", median, low, high)
	}
}
