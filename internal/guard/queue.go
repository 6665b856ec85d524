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
	bytes   int64      // sum over waiting
	extra   int64      // sum over waiting
	ended   bool       // the connection is closed
}

// queued is one response: it counts until the connection has written until bytes.
type queued struct{ until, bytes, extra int64 }

// Queue counts the memory of a response that is about to be sent: its size in bytes, and extra bytes for memory that it
// keeps in use. They count until the connection has written that many bytes. Another stream of the connection may have
// written them; the sum over all streams is right. It returns an error as [Peer.TakeData] does.
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
	after := q.written.Load()
	if n := len(q.waiting); n > 0 {
		after = max(after, q.waiting[n-1].until) // the responses before this one are written first
	}
	q.bytes += bytes
	q.extra += extra
	q.waiting = append(q.waiting, queued{after + bytes, bytes, extra})
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

// end empties the queue of a connection that is closed, and returns how many bytes it counted.
func (q *queue) end() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
	bytes := q.bytes + q.extra
	q.bytes, q.extra, q.waiting = 0, 0, nil
	return bytes
}
