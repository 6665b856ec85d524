//go:build race

package lockorder

import (
	"fmt"
	"math/bits"
	"runtime"
	"sync"
)

// checked reports whether this build checks the order.
const checked = true

// Mutex is a mutual exclusion lock with a place in the order. Its zero value is unlocked. It must not be copied.
type Mutex[Place any] struct{ mu sync.Mutex }

// Lock locks m, and waits until it can. It ends the process when the calling goroutine holds a lock that comes later in
// the order, or has the same place.
func (m *Mutex[Place]) Lock() {
	at := index(*new(Place))
	if later := hold(at); later != 0 {
		violated(fmt.Sprintf("lockorder: %s is taken while %s is held; a goroutine takes locks in the order of internal/lockorder/order.go",
			name(at), name(bits.TrailingZeros64(later)+at)))
	}
	m.mu.Lock()
}

// Unlock unlocks m. The goroutine that locked it has to call it; another one ends the process.
func (m *Mutex[Place]) Unlock() {
	at := index(*new(Place))
	if !release(at) {
		violated(fmt.Sprintf("lockorder: %s is unlocked by a goroutine that does not hold it", name(at)))
	}
	m.mu.Unlock()
}

// record says which locks a goroutine holds: one bit for each place.
type record struct{ goroutine, held uint64 }

// maxHolders bounds how many goroutines may hold locks at a time.
const maxHolders = 4096

// The goroutines that hold locks. The race detector must not see this table: it would take each use of it for a
// synchronisation, and would no longer find races between goroutines that take different locks.
var (
	mu      sync.Mutex
	holders [maxHolders]record // the first count are in use
	count   int
)

// hold notes that the calling goroutine takes a lock at a place of the order, unless it holds later ones. It returns
// these, with the place itself as the lowest bit.
//
//go:norace
func hold(at int) (later uint64) {
	id := goroutine()
	runtime.RaceDisable()
	defer runtime.RaceEnable()
	mu.Lock()
	defer mu.Unlock()
	i := find(id)
	if later = holders[i].held >> at; later == 0 {
		holders[i].held |= 1 << at
		count = max(count, i+1)
	}
	return later
}

// release notes that the calling goroutine unlocks a lock at a place of the order, and reports whether it holds one.
//
//go:norace
func release(at int) bool {
	id := goroutine()
	runtime.RaceDisable()
	defer runtime.RaceEnable()
	mu.Lock()
	defer mu.Unlock()
	i := find(id)
	if i == count || holders[i].held&(1<<at) == 0 {
		return false
	}
	if holders[i].held &^= 1 << at; holders[i].held == 0 {
		count--
		holders[i], holders[count] = holders[count], record{}
	}
	return true
}

// find returns the index of a goroutine's record, which may be a new one at the end. The caller holds mu.
//
//go:norace
func find(goroutine uint64) int {
	for i := range count {
		if holders[i].goroutine == goroutine {
			return i
		}
	}
	holders[count] = record{goroutine: goroutine} // panics when there are too many
	return count
}

// goroutine returns the number of the calling goroutine, from the first line of its stack: "goroutine 7 [running]:".
func goroutine() (id uint64) {
	var text [64]byte
	n := runtime.Stack(text[:], false)
	for _, c := range text[len("goroutine "):n] {
		if c < '0' || c > '9' {
			break
		}
		id = 10*id + uint64(c-'0')
	}
	return id
}
