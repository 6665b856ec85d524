package measure

import (
	"sync"
	"time"
)

// Loop makes n calls one after another and returns how many were admitted. It
// is safe for concurrent use. If the calls are spread over many breakers, from is the
// index of the first call in their order.
type Loop func(n, from int) (admitted int)

// Cell is a loop to time. It is not safe for concurrent use.
type Cell struct {
	Calls   Loop
	Trip    func() // called before each round; nil: nothing is
	Cores   int    // 1 or 2
	Open    bool   // the breaker is open: calls should be rejected, otherwise admitted
	Lingers bool   // the calls leave garbage or busy goroutines, for which the next cell must wait
	next    int    // the index of the next call in the order of breakers
}

// size returns how many calls take about as long as the given time. It also warms the cell up.
func (c *Cell) size(long time.Duration) int {
	n := 2
	for {
		first, _ := c.run(n)
		again, _ := c.run(n)
		// The shorter time counts, because another program may have delayed the other.
		if took := min(first, again); took >= long/4 {
			return max(2, int(float64(n)*float64(long)/float64(took))&^1)
		}
		n *= 2
	}
}

// run makes n calls, which is an even number; with two cores, half of them on each. It returns
// how long they took together, and how many were admitted or rejected against the cell's Open.
func (c *Cell) run(n int) (took time.Duration, wrong int) {
	if c.Trip != nil {
		c.Trip()
	}
	c.Calls(min(n, 64), c.next) // warms the caches, which other cells have used
	var admitted int
	if c.Cores == 2 {
		admitted, took = OnTwo(c.Calls, n, c.next)
	} else {
		begin := time.Now()
		admitted = c.Calls(n, c.next)
		took = time.Since(begin)
	}
	c.next += n
	if c.Lingers {
		Quiesce()
	}
	if c.Open {
		return took, admitted
	}
	return took, n - admitted
}

// OnTwo makes n calls on two goroutines that begin together. from is the index of the first call in the order of breakers.
func OnTwo(calls Loop, n, from int) (admitted int, took time.Duration) {
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
