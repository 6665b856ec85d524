package breaker

import (
	"math"
	"sync/atomic"
)

// never is an instant that does not come.
const never Instant = math.MaxInt64

// cell counts calls without the breaker's lock, as long as they change nothing: the
// successes of a calm closed breaker, and the rejections of an open one. Everything that
// decides about such a call is in one word, so that one compare-and-swap both checks
// and counts. It fails whenever anything about the breaker has changed meanwhile.
//
// A permit carries a mark with the layout of the word:
//
//	       63   62 61            32 31           16 15            0
//	      +-------+----------------+---------------+---------------+
//	word  | phase |     epoch      |   in flight   |     tally     |
//	      +-------+----------------+---------------+---------------+
//	mark  | phase |     epoch      |  kind of permit, or its probe |
//	      +-------+----------------+---------------+---------------+
//	      '--------- tag ---------' '------------- low ------------'
//
// The tally counts successes or, in a rejecting phase, rejections. A permit can be
// resolved in a cell as long as both have the same tag. Only the holder of the
// breaker's lock changes a tag. It writes end and slow before the phase that they
// belong to.
type cell struct {
	word atomic.Uint64
	end  atomic.Int64 // the phase is over from this instant on
	slow atomic.Int64 // a call that takes this long is not for the tally
	// held is the number of calls in flight while the cell is taken; guarded by the breaker's lock.
	held    uint32
	breaker *Breaker // the owner of the cell
}

// The phases of a cell. No cell is ever in the last one: it is in the mark of a permit
// that was given under the lock and cannot be resolved without it.
const (
	locked    = iota // every call needs the lock
	calm             // closed: calls are admitted, and successes change nothing
	rejecting        // open until the end
	byLock
)

const (
	tallyMask    = 1<<16 - 1
	oneInFlight  = 1 << 16
	inFlightMask = maxHeld << 16
	maxHeld      = 1<<16 - 1
	tagShift     = 32
	epochBits    = 30
	epochMask    = 1<<epochBits - 1
	lowMask      = 1<<tagShift - 1
	phaseShift   = tagShift + epochBits
)

// mark says in which phase and epoch a permit was given, and in its lower half what
// kind of permit it is.
type mark uint64

func newMark(phase, epoch, low uint32) mark {
	return mark(phase)<<phaseShift | mark(epoch)<<tagShift | mark(low)
}

func (m mark) epoch() uint32 { return uint32(m>>tagShift) & epochMask }

func (m mark) low() uint32 { return uint32(m) }

// markOf returns the mark of a permit that a cell gives at w.
func markOf(w uint64) mark { return mark(w &^ lowMask) }

// admit counts a call that begins, if the cell is still at w and has room.
func (c *cell) admit(w uint64) bool {
	return w&inFlightMask != inFlightMask && c.word.CompareAndSwap(w, w+oneInFlight)
}

// reject counts a rejection, if the cell is still at w and has room.
func (c *cell) reject(w uint64) bool {
	return w&tallyMask != tallyMask && c.word.CompareAndSwap(w, w+1)
}

// succeed counts a call that has ended well, if the cell is still at w.
func (c *cell) succeed(w uint64) bool { return c.word.CompareAndSwap(w, w-oneInFlight+1) }

// tallies reports whether a success that took that time is for the tally of a cell at w.
func (c *cell) tallies(w uint64, m mark, took, now Instant) bool {
	return (w^uint64(m))>>tagShift == 0 && w&tallyMask != tallyMask && now < Instant(c.end.Load()) && took < Instant(c.slow.Load())
}

// contended reports whether another call has used the cell since it was at w.
func (c *cell) contended(w uint64) bool {
	now := c.word.Load()
	return now != w && now>>tagShift == w>>tagShift
}

// take closes the cell to calls without the lock, and returns its tally.
func (c *cell) take() (tally uint32) {
	w := c.word.Swap(0)
	c.held = uint32(w&inFlightMask) >> 16
	return uint32(w & tallyMask)
}

// open gives the cell to calls without the lock.
func (c *cell) open(phase, epoch uint32, end, slow Instant) {
	c.end.Store(int64(end))
	c.slow.Store(int64(slow))
	c.word.Store(uint64(newMark(phase, epoch, c.held<<16)))
}
