package measure

import (
	"math"
	"runtime"
	"time"
)

// Quiesce waits until goroutines no longer come and go, for a second at most, and then collects garbage.
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

// Allocations returns how many allocations each of n calls makes, to a tenth. Those of
// goroutines that work for the calls are included.
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

// Held returns what build makes, and how many bytes of heap and stacks that keeps.
func Held[T any](build func() T) (uint64, T) {
	before := InUse()
	made := build()
	after := InUse()
	if after < before { // something else was freed meanwhile
		return 0, made
	}
	return after - before, made
}

// InUse collects garbage and returns how many bytes of heap and stacks are in use.
func InUse() uint64 {
	runtime.GC()
	runtime.GC() // the first one only moves what pools keep to where the second finds it
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
