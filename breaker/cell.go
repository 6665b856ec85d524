package breaker

import (
	"math"
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
)

// never is an instant that does not come.
const never Instant = math.MaxInt64

// cell is where calls that change nothing are counted without the breaker's lock:
// successes of a calm closed breaker, and rejections of an open one. All that
// decides them is in one word, so that a compare-and-swap both checks and counts: it
// fails whenever anything about the breaker has changed.
//
// The word is
//
//	phase 2 bits | epoch 30 bits | calls in flight 16 bits | tally 16 bits
//
// in which the tally counts successes or, in a rejecting phase, rejections. Only the
// holder of the breaker's lock changes phase and epoch; end and slow are
// written before the phase that they are for.
type cell struct {
	word atomic.Uint64
	end  atomic.Int64 // the phase does not hold from this instant on
	slow atomic.Int64 // a call that takes so long is not for the tally
	// held is the number of calls in flight while the word is taken; guarded by the breaker's lock.
	held    uint32
	breaker *Breaker // whose cell it is
}

// The phases of a cell, and in the mark of a permit the last one for those that the
// lock has given: no cell ever has it.
const (
	locked    = iota // nothing goes without the lock
	calm             // closed: calls are admitted, and successes change nothing
	rejecting        // open until the end
	byLock
)

const (
	tallyMask      = 1<<16 - 1
	oneInFlight    = 1 << 16
	inFlightMask   = maxHeld << 16
	maxHeld        = 1<<16 - 1
	tagShift       = 32
	epochBits      = 30
	epochMask      = 1<<epochBits - 1
	lowMask        = 1<<tagShift - 1
	phaseShift     = tagShift + epochBits
	manyCollisions = 64
)

// take closes the cell for those without the lock, and returns its tally.
func (c *cell) take() (tally uint32) {
	w := c.word.Swap(0)
	c.held = uint32(w&inFlightMask) >> 16
	return uint32(w & tallyMask)
}

// open gives the cell to those without the lock.
func (c *cell) open(phase, epoch uint32, end, slow Instant) {
	c.end.Store(int64(end))
	c.slow.Store(int64(slow))
	c.word.Store(uint64(phase)<<phaseShift | uint64(epoch)<<tagShift | uint64(c.held)<<16)
}

// stripes are the cells of a breaker that several cores use at a time, each in
// cache lines of its own. Only such a breaker has them.
type stripes []stripe

type stripe struct {
	cell
	_ [128 - 40]byte
}

func newStripes(b *Breaker) *stripes {
	s := make(stripes, 1<<bits.Len(uint(min(runtime.GOMAXPROCS(0), 16)-1)))
	for i := range s {
		s[i].breaker = b
	}
	return &s
}

// seat is the place of a core among stripes. The pool keeps seats by core, which
// is all that it is for: two cores with the same seat are slower and no less right.
type seat struct{ n uint32 }

var (
	seats    = sync.Pool{New: func() any { return &seat{lastSeat.Add(1)} }}
	lastSeat atomic.Uint32
)

// pick returns the cell of the core that this runs on.
func (s stripes) pick() *cell {
	mine := seats.Get().(*seat)
	c := &s[mine.n&uint32(len(s)-1)].cell
	seats.Put(mine)
	return c
}
