package breaker

import (
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
)

// manyCollisions is how often calls have to disturb each other in the one cell of a
// breaker before it gets stripes.
const manyCollisions = 64

// stripes are the cells of a breaker that several cores use at the same time, each in
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

// seat is the place of a core among stripes. The pool keeps seats by core, and this is
// the only use of the pool. Two cores with the same seat are slower but not wrong.
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
