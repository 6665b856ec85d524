package measure

import (
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// spin returns a loop whose calls take a while, and are all admitted or all rejected.
func spin(rounds int, admit bool) Loop {
	var sink atomic.Int64
	return func(n, _ int) (admitted int) {
		for range n {
			for range rounds {
				sink.Add(1)
			}
			if admit {
				admitted++
			}
		}
		return admitted
	}
}

func TestSideBySideComparesRoundByRound(t *testing.T) {
	const rounds = 9
	trips := 0
	cells := []Cell{
		{Calls: spin(100, true), Cores: 1},
		{Calls: spin(1000, true), Cores: 1},
		{Calls: spin(100, true), Cores: 2},
		{Calls: spin(100, true), Cores: 1, Open: true, Trip: func() { trips++ }},
		{Calls: spin(10, false), Cores: 1},
	}
	got := SideBySide(rounds, time.Millisecond, rand.New(rand.NewPCG(1, 1)), cells)
	if first := got[0]; first.Ratio != (Spread{1, 1, 1}) || first.NS.Mid <= 0 || first.Extra.Mid <= 0 {
		t.Errorf("the first cell has %+v, want a ratio of 1 and more nanoseconds than the last cell", first)
	}
	if r := got[1].Ratio.Mid; r < 4 || r > 25 {
		t.Errorf("ten times the work is %.2f times the time", r)
	}
	if last := got[4]; last.Extra != (Spread{}) {
		t.Errorf("the last cell has Extra %+v, want none", last.Extra)
	}
	for i, want := range []float64{0, 0, 0, 1, 1} {
		if got[i].Wrong != want {
			t.Errorf("cell %d: a share of %g of the calls was wrong, want %g", i, got[i].Wrong, want)
		}
	}
	if trips < rounds {
		t.Errorf("tripped %d times, want once a round or more", trips)
	}
}

// TestCellsTakeTheTimeTheyAreGiven, however long one call takes.
func TestCellsTakeTheTimeTheyAreGiven(t *testing.T) {
	for _, rounds := range []int{1, 10_000} {
		c := Cell{Calls: spin(rounds, true), Cores: 1}
		n := c.size(10 * time.Millisecond)
		if n < 2 || n%2 != 0 {
			t.Errorf("%d calls, want an even number", n)
		}
		if took, _ := c.run(n); took < time.Millisecond || took > time.Second {
			t.Errorf("%d calls took %s, want about 10ms", n, took)
		}
	}
}

func TestOnTwoGivesEachHalf(t *testing.T) {
	type share struct{ n, from int }
	shares := make(chan share, 2)
	admitted, took := OnTwo(func(n, from int) int { shares <- share{n, from}; return n / 2 }, 100, 7)
	got := []share{<-shares, <-shares}
	slices.SortFunc(got, func(a, b share) int { return a.from - b.from })
	if want := []share{{50, 7}, {50, 57}}; !slices.Equal(got, want) || admitted != 50 || took <= 0 {
		t.Errorf("shares %v, %d admitted in %s; want %v and 50", got, admitted, took, want)
	}
}

func TestAllocationsPerCall(t *testing.T) {
	var kept []byte
	c := Cell{Calls: func(n, _ int) int {
		for i := range n {
			if kept = nil; i%2 == 0 {
				kept = make([]byte, 100)
			}
		}
		return n
	}}
	if got := c.Allocations(10_000); got != 0.5 {
		t.Errorf("%g allocations, want 0.5", got)
	}
	runtime.KeepAlive(kept)
	c.Calls = spin(1, true)
	if got := c.Allocations(10_000); got != 0 {
		t.Errorf("%g allocations, want 0", got)
	}
}

func TestHeldCountsOnlyKeptMemory(t *testing.T) {
	const size = 10 << 20
	bytes, kept := Held(func() []byte {
		dropped := make([]byte, size)
		runtime.KeepAlive(dropped)
		return make([]byte, size)
	})
	if bytes < size*9/10 || bytes > size*11/10 {
		t.Errorf("%d bytes held, want about %d", bytes, size)
	}
	runtime.KeepAlive(kept)
}

// TestQuiesceWaits for goroutines that come and go.
func TestQuiesceWaits(t *testing.T) {
	var left atomic.Int32
	left.Store(100)
	var next func()
	next = func() {
		if left.Add(-1) > 0 {
			go next()
			go func() {}()
		}
	}
	go next()
	Quiesce()
	if n := left.Load(); n > 0 {
		t.Errorf("Quiesce returned while %d goroutines were still to start", n)
	}
}

func TestQuartiles(t *testing.T) {
	for _, tt := range []struct {
		values []float64
		want   Spread
	}{
		{[]float64{7}, Spread{7, 7, 7}},
		{[]float64{3, 1}, Spread{1.5, 2, 2.5}},
		{[]float64{5, 1, 4, 2, 3}, Spread{2, 3, 4}},
	} {
		if got := SpreadOf(tt.values); got != tt.want {
			t.Errorf("quartiles of %v are %v, want %v", tt.values, got, tt.want)
		}
	}
	if got := Quantile(nil, 0.5); !math.IsNaN(got) {
		t.Errorf("the median of no values is %g, want not a number", got)
	}
}

// TestHistogramIsExactToASixteenth, and to the nanosecond below 32 ns.
func TestHistogramIsExactToASixteenth(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	var h Histogram
	if got := h.Quantile(0.5); got != 0 {
		t.Errorf("the median of no values is %s", got)
	}
	values := []time.Duration{0, 1, 31, 32, 33, 63, 64, 1<<62 + 1<<61, 1<<63 - 1}
	for range 10_000 {
		values = append(values, time.Duration(random.Int64N(1<<(1+random.IntN(40)))))
	}
	for _, v := range values {
		h.Add(v)
		if got := lowerBound(slot(v)); got > v || v < 32 && got != v || v-got > v/16 {
			t.Errorf("%d is counted as %d", v, got)
		}
	}
	slices.Sort(values)
	for _, q := range []float64{0.01, 0.5, 0.99, 1} {
		want := values[max(0, int(q*float64(len(values))+0.999)-1)]
		if got := h.Quantile(q); got > want || want-got > want/8+1 {
			t.Errorf("quantile %g is %d, want %d", q, got, want)
		}
	}
	if h.Max() != values[len(values)-1] || h.Total() != uint64(len(values)) {
		t.Errorf("max %d of %d, want %d of %d", h.Max(), h.Total(), values[len(values)-1], len(values))
	}
}
