package measure

import (
	"sync"
	"time"
)

// Loop makes n calls one after another and returns how many were admitted. It
// is safe for concurrent use. Where the calls spread over many breakers they
// go on at place from of the order in which these are called.
type Loop func(n, from int) (admitted int)

// Cell is one thing to time.
type Cell struct {
	Calls   Loop
	Trip    func() // called before each round, if it is there
	Cores   int    // 1 or 2
	Open    bool   // calls should be rejected; if it is false they should be admitted
	Lingers bool   // it leaves garbage or busy goroutines behind, which the next cell has to wait for
	next    int    // place in the order of breakers where the next calls go on
}

// size returns how many calls take about as long as long says. It also warms the cell up.
func (c *Cell) size(long time.Duration) int {
	n := 2
	for {
		first, _ := c.run(n)
		again, _ := c.run(n)
		// The shorter one counts: the machine may have been busy elsewhere for most of the other.
		if took := min(first, again); took >= long/4 {
			return max(2, int(float64(n)*float64(long)/float64(took))&^1)
		}
		n *= 2
	}
}

// run makes n calls, on two cores half of them on each; n is even. It returns
// how long they took together and how many did not end as the cell says.
func (c *Cell) run(n int) (took time.Duration, wrong int) {
	if c.Trip != nil {
		c.Trip()
	}
	c.Calls(min(n, 64), c.next) // warms the caches, which other cells have used since
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

// OnTwo makes n calls, starting at place from of the order of breakers, on two goroutines
// that begin together.
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
