package calls

import (
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/internal/lockorder"
	"breakwater.dev/peers/internal/outbox"
)

// Running lists the calls that will be slow if they go on. A breaker counts such a call before it has ended. The zero value is empty;
// a nil list takes no calls.
type Running struct {
	mu          lockorder.Mutex[lockorder.PeersLeaf] // guards what follows
	byThreshold map[time.Duration][]*Lease           // in the order in which the calls began
}

// Add lists a call that is slow when it has lasted for a threshold.
func (q *Running) Add(l *Lease, threshold time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.byThreshold == nil {
		q.byThreshold = map[time.Duration][]*Lease{}
	}
	l.Running, l.listed, l.slowAt = q, true, l.Began.Add(threshold)
	q.byThreshold[threshold] = append(q.byThreshold[threshold], l)
}

// remove takes a call out, and reports whether it was reported as slow. Its place in the list goes with the next look.
func (q *Running) remove(l *Lease) (early bool) {
	if q == nil {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	l.listed = false
	return l.early
}

// Slow returns reports of the calls that have become slow.
func (q *Running) Slow(now breaker.Instant) (items []*outbox.Item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for threshold, calls := range q.byThreshold {
		n := 0
		for n < len(calls) && (!calls[n].listed || calls[n].slowAt <= now) {
			if l := calls[n]; l.listed {
				l.listed, l.early = false, true
				lasted := now.Sub(l.Began)
				items = append(items, &outbox.Item{Subject: l.Subject, Outcomes: []breaker.Reported{{
					Running: true, At: now, Lasted: lasted, Duration: lasted, Generation: l.Generation,
				}}})
			}
			calls[n] = nil
			n++
		}
		if q.byThreshold[threshold] = calls[n:]; n == len(calls) {
			delete(q.byThreshold, threshold)
		}
	}
	return items
}
