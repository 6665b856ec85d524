package main

import (
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"
)

// cell is one thing to time.
type cell struct {
	calls   loop
	trip    func() // nil, or what is to be done before each round
	cores   int    // 1 or 2
	open    bool   // calls are to be rejected, else admitted
	lingers bool   // it leaves garbage or goroutines at work behind; whoever is next has to wait
	next    int    // place in the order of breakers where the next calls go on
}

// timing is what rounds told of a cell.
type timing struct {
	ns    spread  // per call: the time from the first call's begin to the last one's end, by all calls
	ratio spread  // to the first cell, of the same round
	extra spread  // ns less those of the last cell, of the same round
	wrong float64 // share of the calls that were admitted though the cell is open, or rejected though it is closed
}

// sideBySide times cells in many short rounds, each cell once in each round and
// in another order, so that what the machine does meanwhile meets all of them.
func sideBySide(o options, random *rand.Rand, cells []cell) []timing {
	sizes := make([]int, len(cells))
	for i := range cells {
		sizes[i] = cells[i].size(o.cell)
	}
	ns := make([][]float64, len(cells)) // by cell and round
	wrong := make([]int, len(cells))
	for range o.rounds {
		for _, i := range random.Perm(len(cells)) {
			took, bad := cells[i].run(sizes[i])
			ns[i] = append(ns[i], float64(took.Nanoseconds())/float64(sizes[i]))
			wrong[i] += bad
		}
	}
	result := make([]timing, len(cells))
	last := len(cells) - 1
	for i := range cells {
		ratios, extras := make([]float64, o.rounds), make([]float64, o.rounds)
		for r := range o.rounds {
			ratios[r] = ns[i][r] / ns[0][r]
			extras[r] = ns[i][r] - ns[last][r]
		}
		result[i] = timing{
			ns: spreadOf(ns[i]), ratio: spreadOf(ratios), extra: spreadOf(extras),
			wrong: float64(wrong[i]) / float64(o.rounds*sizes[i]),
		}
	}
	return result
}

// size returns how many calls take about so long. It also warms the cell up.
func (c *cell) size(long time.Duration) int {
	n := 2
	for {
		first, _ := c.run(n)
		again, _ := c.run(n)
		// The shorter one: of the other, the machine may have been away for most.
		if took := min(first, again); took >= long/4 {
			return max(2, int(float64(n)*float64(long)/float64(took))&^1)
		}
		n *= 2
	}
}

// run makes n calls, on two cores half of them on each; n is even. It returns
// how long they took together and how many were not as the cell says.
func (c *cell) run(n int) (took time.Duration, wrong int) {
	if c.trip != nil {
		c.trip()
	}
	c.calls(min(n, 64), c.next) // what the others left in the caches is not this one's business
	var admitted int
	if c.cores == 2 {
		admitted, took = onTwo(c.calls, n, c.next)
	} else {
		begin := time.Now()
		admitted = c.calls(n, c.next)
		took = time.Since(begin)
	}
	c.next += n
	if c.lingers {
		quiesce()
	}
	if c.open {
		return took, admitted
	}
	return took, n - admitted
}

// onTwo makes n calls, from a place in the order of breakers, on two goroutines
// that begin together.
func onTwo(calls loop, n, from int) (admitted int, took time.Duration) {
	var ready, done sync.WaitGroup
	var each [2]int
	start := make(chan struct{})
	for w := range each {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-start
			each[w] = calls(n/2, from+w*n/2)
		})
	}
	ready.Wait()
	begin := time.Now()
	close(start)
	done.Wait()
	return each[0] + each[1], time.Since(begin)
}

// quiesce returns when goroutines no longer come and go, for a second at most, and garbage is collected.
func quiesce() {
	last, steady := -1, 0
	for deadline := time.Now().Add(time.Second); steady < 8 && time.Now().Before(deadline); time.Sleep(100 * time.Microsecond) {
		now := runtime.NumGoroutine()
		if now == last {
			steady++
		} else {
			last, steady = now, 0
		}
	}
	runtime.GC()
}

// allocations returns how many there are for each of n calls, to a tenth, those of
// goroutines that work for them included.
func (c *cell) allocations(n int) float64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c.calls(n, 0)
	if c.lingers {
		quiesce()
	}
	runtime.ReadMemStats(&after)
	return math.Round(float64(after.Mallocs-before.Mallocs)/float64(n)*10) / 10
}

// held returns how many bytes of heap and stacks what build makes keeps, with build's result.
func held[T any](build func() T) (uint64, T) {
	before := inUse()
	made := build()
	after := inUse()
	if after < before { // something else was given up meanwhile
		return 0, made
	}
	return after - before, made
}

func inUse() uint64 {
	runtime.GC()
	runtime.GC() // the first one only moves what pools hold to where the second finds it
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
