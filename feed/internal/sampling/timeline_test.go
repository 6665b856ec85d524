package sampling

import (
	"testing"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/wire"
)

// TestTimeline: the weight of a call follows from how its proxy sampled when the call began. Where the sampling had just
// changed, or is not known, the call represents as few calls as possible, and as many as possible may have passed before it.
func TestTimeline(t *testing.T) {
	const second = breaker.Instant(time.Second)
	key := breaker.Key{Upstream: "web"}
	var line Timeline
	want := func(when breaker.Instant, passed, rejected, sparsest uint32) {
		t.Helper()
		want := Weights{wire.Sampling{Passed: passed, Rejected: rejected}, sparsest}
		if got := line.Weights(when, key); got != want {
			t.Errorf("at %s: %+v, want %+v", time.Duration(when), got, want)
		}
	}
	want(0, 1, 1, maxOneIn)
	line = line.Apply(10*second, oneIn(4))
	line = line.Apply(20*second, oneIn(64))
	line = line.Apply(30*second, nil)
	line = line.Apply(40*second, oneIn(2))
	want(0, 1, 1, maxOneIn)
	want(10*second, 1, 1, maxOneIn)
	want(15*second, 4, 4, 4)
	want(20*second-second/20, 4, 4, 64)
	want(20*second+second/20, 4, 4, 64)
	want(21*second, 64, 64, 64)
	want(30*second-second/20, 1, 1, 64)
	want(35*second, 1, 1, 1)
	want(40*second, 1, 1, 2)
	want(41*second, 2, 2, 2)
	// A period that was to come is replaced when the proxy applies another sampling before it.
	line = line.Apply(50*second, nil)
	line = line.Apply(45*second, oneIn(8))
	want(55*second, 8, 8, 8)
	line = line.Apply(60*second, map[breaker.Key]wire.Sampling{key: {Passed: 16}, {Upstream: "other"}: {Passed: 2, Rejected: 2}})
	want(65*second, 16, 1, 16)
	for i := range 10_000 {
		line = line.Apply(breaker.Instant(100+i)*second, oneIn(uint32(i)))
	}
	if len(line) > 700 {
		t.Errorf("%d periods are remembered", len(line))
	}
}

// TestExactSince: a proxy logs all calls from the beginning of the first period in which it does so.
func TestExactSince(t *testing.T) {
	const second = breaker.Instant(time.Second)
	key := breaker.Key{Upstream: "web"}
	exact := map[breaker.Key]wire.Sampling{key: {Passed: 8, Rejected: 1, Exact: true}}
	var line Timeline
	want := func(now, since breaker.Instant, want bool) {
		t.Helper()
		if got, ok := line.ExactSince(now, key); got != since || ok != want {
			t.Errorf("at %s: since %s, %t, want %s, %t", time.Duration(now), time.Duration(got), ok, time.Duration(since), want)
		}
	}
	want(second, 0, false)
	line = line.Apply(10*second, oneIn(8))
	line = line.Apply(20*second, exact)
	line = line.Apply(30*second, exact)
	line = line.Apply(40*second, nil) // the layer has no key
	line = line.Apply(50*second, oneIn(1))
	line = line.Apply(60*second, oneIn(2))
	want(15*second, 0, false)
	want(25*second, 20*second, true)
	want(55*second, 20*second, true)
	want(65*second, 0, false)
	if got := line.Weights(25*second, key).Passed; got != 8 {
		t.Errorf("a sampled call stands for %d calls while all others are logged, want 8", got)
	}
}

// oneIn is a sampling by which one call in n is logged.
func oneIn(n uint32) map[breaker.Key]wire.Sampling {
	return map[breaker.Key]wire.Sampling{{Upstream: "web"}: {Passed: n, Rejected: n}}
}
