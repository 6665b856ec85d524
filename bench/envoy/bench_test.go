package main

import (
	"testing"
	"time"

	"breakwater.dev/bench/envoy/internal/traffic"
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

func TestFirstReject(t *testing.T) {
	at := func(ms int, status int) traffic.Call {
		return traffic.Call{Done: time.UnixMilli(int64(ms)), Status: status}
	}
	if got := firstReject([]traffic.Call{at(1, 200), at(5, 503), at(2, 503), at(3, 500), at(9, 503)}); got != time.UnixMilli(5) {
		t.Errorf("first reject at %d ms, want 5", got.UnixMilli())
	}
	if got := firstReject([]traffic.Call{at(1, 503), at(2, 200)}); !got.IsZero() {
		t.Errorf("first reject at %s, want none, since calls got through afterwards", got)
	}
}
