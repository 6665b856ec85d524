package feed

import (
	"math"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/mem"

	"breakwater.dev/breaker"
	"breakwater.dev/internal/alslog"
)

const (
	// maxStreamBacklog and maxBacklog bound the bytes that wait: for each stream, and for all together.
	maxStreamBacklog = 8 << 20
	maxBacklog       = 64 << 20
	// queueLength bounds how many messages of one stream wait. Envoy sends messages of some 16 KiB.
	queueLength = 512
	// hurryAt is the part of its bound that waits in a stream from which on messages are not read as a whole.
	hurryAt = 8
)

// queue is between the goroutine that receives a stream, which must never wait, and the one that counts. When too much waits, it
// drops what has waited longest: an outcome is worth less the later it comes.
type queue struct {
	all     *atomic.Int64 // bytes in the queues of all streams
	own     atomic.Int64  // bytes in this one
	waiting chan queued
	broken  chan struct{} // closed when a message is malformed
}

// queued is a message that waits to be counted.
type queued struct {
	data    mem.Buffer
	arrived breaker.Instant
}

func newQueue(all *atomic.Int64) *queue {
	return &queue{all: all, waiting: make(chan queued, queueLength), broken: make(chan struct{})}
}

// push takes over a message. It makes room by dropping the messages that have waited longest, which the caller gets, and the
// message itself where there is still no room.
func (q *queue) push(data mem.Buffer, arrived breaker.Instant, dropped func(mem.Buffer)) {
	size := int64(data.Len())
	q.own.Add(size)
	q.all.Add(size)
	for {
		if q.fits() {
			select {
			case q.waiting <- queued{data, arrived}:
				return
			default:
			}
		}
		select {
		case oldest := <-q.waiting:
			q.release(int64(oldest.data.Len()))
			dropped(oldest.data)
		default:
			q.release(size)
			dropped(data)
			return
		}
	}
}

// fits reports whether the messages in the queue may wait. No stream may have more than what is left for others, so that there is
// room for a quiet stream, however many busy ones there are.
func (q *queue) fits() bool { return q.own.Load() <= q.bound() }

// bound returns how many bytes may wait in the queue.
func (q *queue) bound() int64 { return min(maxStreamBacklog, maxBacklog-q.all.Load()) }

// release subtracts a message that waits no longer.
func (q *queue) release(size int64) {
	q.own.Add(-size)
	q.all.Add(-size)
}

// close makes work return when it has counted the messages that wait.
func (q *queue) close() { close(q.waiting) }

// work has the worker count messages until the queue is closed, and report corrections when they are due.
func (q *queue) work(w *worker) {
	due := time.NewTimer(0)
	defer due.Stop()
	broken := false
	var m alslog.Message
	for {
		select {
		case next, open := <-q.waiting:
			if !open {
				w.reportDue(math.MaxInt64) // the stream has ended, so there is nothing to wait for
				return
			}
			w.hurry = q.own.Load() > q.bound()/hurryAt
			if !broken && next.take(w, &m) != nil {
				broken = true
				close(q.broken)
			}
			q.release(int64(next.data.Len()))
			next.data.Free()
		case <-due.C:
		}
		now := w.server.options.Now()
		if next, ok := w.reportDue(now); ok {
			due.Reset(next.Sub(now))
		}
	}
}

// take has the worker count the message. It is read into m, which can be used again.
func (n *queued) take(w *worker, m *alslog.Message) error {
	if err := m.Read(n.data.ReadOnlyData()); err != nil {
		return err
	}
	return w.take(m, n.arrived)
}
