//go:build !race

package lockorder

import "sync"

// checked reports whether this build checks the order.
const checked = false

// Mutex is a mutual exclusion lock with a place in the order. Its zero value is unlocked. It must not be copied.
type Mutex[Place any] struct{ mu sync.Mutex }

// Lock locks m, and waits until it can.
func (m *Mutex[Place]) Lock() { m.mu.Lock() }

// Unlock unlocks m. The goroutine that locked it has to call it.
func (m *Mutex[Place]) Unlock() { m.mu.Unlock() }
