package measure

import (
	"math"
	"runtime"
	"time"
)

// Quiesce waits until the number of goroutines is steady, for a second at most, and then collects garbage.
func Quiesce() {
	tick := time.NewTicker(100 * time.Microsecond)
	defer tick.Stop()
	last, steady := -1, 0
	for deadline := time.Now().Add(time.Second); steady < 8 && time.Now().Before(deadline); <-tick.C {
		now := runtime.NumGoroutine()
		if now == last {
			steady++
		} else {
			last, steady = now, 0
		}
	}
	runtime.GC()
}

// Allocations makes n calls, and returns the number of allocations per call, rounded to a tenth. It includes
// allocations by other goroutines.
func (c *Cell) Allocations(n int) float64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c.Calls(n, 0)
	if c.Lingers {
		Quiesce()
	}
	runtime.ReadMemStats(&after)
	return math.Round(float64(after.Mallocs-before.Mallocs)/float64(n)*10) / 10
}

// Held returns the result of build, and how many bytes of heap and stacks it keeps in use.
func Held[T any](build func() T) (uint64, T) {
	before := InUse()
	made := build()
	after := InUse()
	if after < before { // other memory was freed meanwhile
		return 0, made
	}
	return after - before, made
}

// InUse collects garbage and returns how many bytes of heap and stacks are in use.
func InUse() uint64 {
	runtime.GC()
	runtime.GC() // a sync.Pool drops its objects only at the second collection
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
