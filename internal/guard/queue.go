package guard

import (
	"math"
	"sync"
	"sync/atomic"
)

// queue is what was given to a connection to send, and is not known to be written.
type queue struct {
	written atomic.Int64 // bytes that the connection has written
	next    atomic.Int64 // when so many are written, the first response is out; 0: none waits

	mu      sync.Mutex // guards what follows
	waiting []queued   // in their order
	bytes   int64      // of all that wait
	extra   int64
	ended   bool
}

type queued struct{ until, bytes, extra int64 }

// Queue counts a response of so many bytes that is about to be sent, until the connection has
// written as much, and what it takes besides. Streams of a connection take turns, so it may be
// another's that was written; all together is right.
func (p *Peer) Queue(bytes, extra int64) error {
	if p == nil || bytes == 0 {
		return nil
	}
	if err := p.TakeData(bytes + extra); err != nil {
		return err
	}
	q := &p.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ended {
		p.GiveData(bytes + extra)
		return nil
	}
	after := q.written.Load() // of what waits some may be written already
	if n := len(q.waiting); n > 0 {
		after = max(after, q.waiting[n-1].until)
	}
	q.bytes += bytes
	q.extra += extra
	q.waiting = append(q.waiting, queued{after + bytes, bytes, extra})
	q.next.Store(q.waiting[0].until)
	return nil
}

// wrote hears that the connection has written so many bytes.
func (p *Peer) wrote(n int64) {
	q := &p.queue
	written := q.written.Add(n)
	if next := q.next.Load(); next == 0 || written < next {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	done, extra := int64(0), int64(0)
	for len(q.waiting) > 0 && q.waiting[0].until <= written {
		done += q.waiting[0].bytes
		extra += q.waiting[0].extra
		q.waiting = q.waiting[1:]
	}
	q.bytes -= done
	q.extra -= extra
	p.GiveData(done + extra)
	q.next.Store(math.MaxInt64)
	if len(q.waiting) > 0 {
		q.next.Store(q.waiting[0].until)
	}
}

// end empties the queue, of a connection that is closed, and returns how many bytes waited.
func (q *queue) end() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
	bytes := q.bytes + q.extra
	q.bytes, q.extra, q.waiting = 0, 0, nil
	return bytes
}
