package breaker

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"
)

// backoffConfig trips at the first failure, closes at the first success, and
// doubles its wait of a second up to ten.
func backoffConfig() Config {
	cfg := runRule(1)
	cfg.SuccessThreshold, cfg.WaitDurationInOpenState = 1, time.Second
	cfg.BackoffMultiplier, cfg.BackoffMax = 200, 10*time.Second
	return cfg
}

func TestWaits(t *testing.T) {
	for _, tt := range []struct {
		name      string
		base, max time.Duration
		mult      Hundredths
		want      []time.Duration // the waits after the first openings
	}{
		{"1x stays", time.Second, time.Minute, 100, []time.Duration{time.Second, time.Second, time.Second}},
		{"2x doubles up to the maximum", time.Second, 5 * time.Second, 200, []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 5 * time.Second, 5 * time.Second}},
		{"1.5x", time.Second, time.Minute, 150, []time.Duration{time.Second, 1500 * time.Millisecond, 2250 * time.Millisecond}},
		{"a maximum below the base shortens nothing", 10 * time.Second, time.Second, 200, []time.Duration{10 * time.Second, 10 * time.Second}},
		{"the largest there are", MaxDuration, MaxDuration, MaxMultiplier, []time.Duration{MaxDuration, MaxDuration}},
		{"from the smallest to the largest", time.Millisecond, MaxDuration, MaxMultiplier, []time.Duration{time.Millisecond, 100 * time.Millisecond, 10 * time.Second, 1000 * time.Second, MaxDuration, MaxDuration}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := Config{WaitDurationInOpenState: tt.base, BackoffMax: tt.max, BackoffMultiplier: tt.mult}
			for n, want := range tt.want {
				if got := waitOf(&cfg, uint32(n)); got != want {
					t.Errorf("wait %d is %s, want %s", n, got, want)
				}
			}
		})
	}
}

// TestRule7WaitGrowsWithEachFailedProbe: up to the maximum. The transition says how long
// the wait is and which opening in a row it follows.
func TestRule7WaitGrowsWithEachFailedProbe(t *testing.T) {
	r := newRig(t, backoffConfig())
	r.call(Failure)
	for i, want := range []time.Duration{1, 2, 4, 8, 10, 10} {
		want *= time.Second
		last := r.transitions[len(r.transitions)-1]
		if last.Wait != want || last.Openings != uint32(i+1) || last.Edge.To != Open {
			t.Fatalf("opening %d waits %s as number %d, want %s", i+1, last.Wait, last.Openings, want)
		}
		r.after(want - 1)
		r.reject()
		r.after(1)
		r.call(Failure)
	}
}

// TestRule7ForgetsStepByStep: a closed breaker forgets one opening after as long as the
// wait that this opening caused, and not all openings at once.
func TestRule7ForgetsStepByStep(t *testing.T) {
	for _, tt := range []struct {
		closed time.Duration
		left   uint32
		wait   time.Duration // the wait after the next opening
	}{
		{0, 4, 10 * time.Second},
		{8*time.Second - 1, 4, 10 * time.Second},
		{8 * time.Second, 3, 8 * time.Second},
		{12*time.Second - 1, 3, 8 * time.Second},
		{12 * time.Second, 2, 4 * time.Second},
		{14 * time.Second, 1, 2 * time.Second},
		{15*time.Second - 1, 1, 2 * time.Second},
		{15 * time.Second, 0, time.Second},
		{time.Hour, 0, time.Second},
	} {
		t.Run(tt.closed.String(), func(t *testing.T) {
			r := newRig(t, backoffConfig())
			r.call(Failure)
			for _, wait := range []time.Duration{1, 2, 4} {
				r.after(wait * time.Second)
				r.call(Failure)
			}
			r.after(8 * time.Second)
			r.call(Success)
			r.want(Edge{HalfOpen, Closed, ProbesSucceeded})
			r.after(tt.closed)
			if got := r.status().Openings; got != tt.left {
				t.Errorf("%d openings are not forgotten, want %d", got, tt.left)
			}
			r.call(Failure)
			if tr := r.want(Edge{Closed, Open, ConsecutiveFailures}); tr.Wait != tt.wait || tr.Openings != tt.left+1 {
				t.Errorf("the next wait is %s, number %d; want %s, number %d", tr.Wait, tr.Openings, tt.wait, tt.left+1)
			}
		})
	}
}

// TestRule7FlappingUpstreamIsNotHammered: an upstream that passes every probe and fails
// half a second later is probed after the longest wait, not after the shortest.
func TestRule7FlappingUpstreamIsNotHammered(t *testing.T) {
	r := newRig(t, backoffConfig())
	r.call(Failure)
	openings := 1
	for end := r.now.Add(time.Hour); r.now < end; {
		tr := r.want(Edge{Closed, Open, ConsecutiveFailures})
		r.after(tr.Wait)
		r.call(Success)
		r.after(500 * time.Millisecond)
		r.call(Failure)
		openings++
	}
	if most := int(time.Hour/(10*time.Second)) + 10; openings > most {
		t.Errorf("%d openings in an hour, want at most %d", openings, most)
	}
}

// TestRule7OpeningsAreBounded: so forgetting them takes bounded time.
func TestRule7OpeningsAreBounded(t *testing.T) {
	r := newRig(t, backoffConfig())
	r.call(Failure)
	for range 3 * maxOpenings {
		r.after(10 * time.Second)
		r.call(Failure)
	}
	if got := r.status().Openings; got != maxOpenings {
		t.Errorf("%d openings, want %d", got, maxOpenings)
	}
}

// TestJitterIsEvenAndBounded: breakers that trip together probe at times spread
// over the whole share.
func TestJitterIsEvenAndBounded(t *testing.T) {
	const n, parts = 20_000, 10
	wait, share := 30*time.Second, Ratio(2_000)
	low, high := wait*8/10, wait*12/10
	for _, key := range []func(i int) (Key, uint64){
		func(i int) (Key, uint64) { return Key{Upstream: fmt.Sprintf("upstream-%d", i)}, 1 },
		func(i int) (Key, uint64) { return Key{Upstream: "a", Route: fmt.Sprint(i)}, 1 },
		func(i int) (Key, uint64) { return Key{Upstream: "a", Node: fmt.Sprint(i)}, 1 },
		func(i int) (Key, uint64) { return keyA, uint64(i) },
	} {
		var in [parts]int
		for i := range n {
			k, sequence := key(i)
			got := jitter(wait, share, k, sequence)
			if got < low || got > high {
				t.Fatalf("%v, %d: wait %s, want %s to %s", k, sequence, got, low, high)
			}
			if again := jitter(wait, share, k, sequence); again != got {
				t.Fatalf("%v, %d: wait %s and then %s, want the same", k, sequence, got, again)
			}
			in[min(parts-1, int((got-low)*parts/(high-low)))]++
		}
		// Five standard deviations of a part's count.
		if most := 5 * math.Sqrt(n/parts); math.Abs(float64(slices.Max(in[:])-n/parts)) > most || math.Abs(float64(slices.Min(in[:])-n/parts)) > most {
			t.Errorf("waits by tenths of the share: %v, want about %d each", in, n/parts)
		}
	}
}

func TestJitterAtItsBounds(t *testing.T) {
	if got := jitter(time.Minute, 0, keyA, 1); got != time.Minute {
		t.Errorf("wait %s without jitter, want 1m", got)
	}
	if a, b := jitter(time.Hour, Whole, Key{Upstream: "ab"}, 1), jitter(time.Hour, Whole, Key{Upstream: "a", Route: "b"}, 1); a == b {
		t.Errorf("%s for both an upstream and a route of another, want that names do not run together", a)
	}
	for i := range uint64(10_000) {
		for _, wait := range []time.Duration{time.Millisecond, MaxDuration} {
			if got := jitter(wait, Whole, keyA, i); got < time.Millisecond || got > 2*wait {
				t.Fatalf("wait %s with a jitter of 100%% of %s, want 1ms to twice that", got, wait)
			}
		}
	}
}

// TestJitterOfABreaker: the breaker keeps to the wait that its transition says.
func TestJitterOfABreaker(t *testing.T) {
	cfg := backoffConfig()
	cfg.BackoffJitter = 5_000
	r := newRig(t, cfg)
	r.call(Failure)
	tr := r.want(Edge{Closed, Open, ConsecutiveFailures})
	if tr.Wait == time.Second || tr.Wait < 500*time.Millisecond || tr.Wait > 1500*time.Millisecond {
		t.Errorf("wait %s, want 500ms to 1.5s and not just 1s", tr.Wait)
	}
	r.after(tr.Wait - 1)
	r.reject()
	r.after(1)
	r.admit()
}
