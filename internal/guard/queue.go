package guard

import (
	"math"
	"sync"
	"sync/atomic"
)

// queue holds the sizes of the responses that a connection was given to send, and may not have written yet.
type queue struct {
	written atomic.Int64 // bytes that the connection has written
	next    atomic.Int64 // the value of written at which the first response is out; 0: no response has been queued

	mu      sync.Mutex // guards the fields below
	waiting []queued   // in the order of sending
	memory  int64      // sum over waiting
	ended   bool       // the connection is closed
}

// queued is one response: it counts until the connection has written until bytes.
type queued struct{ until, memory int64 }

// Queue counts the memory that a response of a size takes which is about to be sent, both in bytes. The memory can be less than
// the size, where many responses share their content. It counts until the connection has written as many bytes as the response
// has. Another stream of the connection may have written them; the sum over all streams is right. Queue returns an error as
// [Peer.TakeData] does.
func (p *Peer) Queue(size, memory int64) error {
	if p == nil || size == 0 {
		return nil
	}
	if err := p.TakeData(memory); err != nil {
		return err
	}
	q := &p.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ended {
		p.GiveData(memory)
		return nil
	}
	after := q.written.Load()
	if n := len(q.waiting); n > 0 {
		after = max(after, q.waiting[n-1].until) // the responses before this one are written first
	}
	q.memory += memory
	q.waiting = append(q.waiting, queued{after + size, memory})
	q.next.Store(q.waiting[0].until)
	return nil
}

// wrote records that the connection has written n more bytes.
func (p *Peer) wrote(n int64) {
	q := &p.queue
	written := q.written.Add(n)
	if next := q.next.Load(); next == 0 || written < next {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	done := int64(0)
	for len(q.waiting) > 0 && q.waiting[0].until <= written {
		done += q.waiting[0].memory
		q.waiting = q.waiting[1:]
	}
	q.memory -= done
	p.GiveData(done)
	q.next.Store(math.MaxInt64)
	if len(q.waiting) > 0 {
		q.next.Store(q.waiting[0].until)
	}
}

// end empties the queue of a connection that is closed, and returns the memory that it counted.
func (q *queue) end() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
	memory := q.memory
	q.memory, q.waiting = 0, nil
	return memory
}
