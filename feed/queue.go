package feed

import (
	"math"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/mem"

	"breakwater.dev/breaker"
)

const (
	// maxBacklog bounds what waits to be taken, in bytes: of one stream, and of all.
	maxStreamBacklog = 8 << 20
	maxBacklog       = 64 << 20
	// queueLength bounds the messages of a stream that wait. Envoy fills them with 16 KiB.
	queueLength = 512
)

// queue is between the goroutine that receives a stream, which must never wait, and the one
// that works.
type queue struct {
	all     *atomic.Int64 // bytes in the queues of all streams
	own     atomic.Int64
	waiting chan waiting
	broken  chan struct{} // closed when a message cannot be read
}

// waiting is a message that waits to be taken.
type waiting struct {
	data    mem.Buffer
	arrived breaker.Instant
}

func newQueue(all *atomic.Int64) *queue {
	return &queue{all: all, waiting: make(chan waiting, queueLength), broken: make(chan struct{})}
}

// push takes a message, unless there are too many. Then it is the caller's still.
func (q *queue) push(data mem.Buffer, arrived breaker.Instant) bool {
	size := int64(data.Len())
	if q.own.Add(size) > maxStreamBacklog || q.all.Add(size) > maxBacklog {
		return q.refuse(size)
	}
	select {
	case q.waiting <- waiting{data, arrived}:
		return true
	default:
		return q.refuse(size)
	}
}

func (q *queue) refuse(size int64) bool {
	q.gone(size)
	return false
}

func (q *queue) gone(size int64) {
	q.own.Add(-size)
	q.all.Add(-size)
}

// close has work end when it has taken what waits.
func (q *queue) close() { close(q.waiting) }

// work takes messages until the queue is closed, and tells of corrections when they are due.
func (q *queue) work(w *worker) {
	due := time.NewTimer(0)
	defer due.Stop()
	broken := false
	var m message
	for {
		select {
		case next, open := <-q.waiting:
			if !open {
				w.settle(math.MaxInt64) // nobody is left to wait for
				return
			}
			if !broken && next.tell(w, &m) != nil {
				broken = true
				close(q.broken)
			}
			q.gone(int64(next.data.Len()))
			next.data.Free()
		case <-due.C:
		}
		now := w.server.options.Now()
		if next, ok := w.settle(now); ok {
			due.Reset(next.Sub(now))
		}
	}
}

// tell has the worker take a message, which m is for.
func (n *waiting) tell(w *worker, m *message) error {
	if err := m.read(n.data.ReadOnlyData()); err != nil {
		return err
	}
	return w.take(m, n.arrived)
}
