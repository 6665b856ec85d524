package backlog

import (
	"sync/atomic"

	"google.golang.org/grpc/mem"

	"breakwater.dev/breaker"
)

const (
	// MaxStream and MaxTotal bound the bytes that wait: for each stream, and for all together.
	MaxStream = 8 << 20
	MaxTotal  = 64 << 20
	// Length bounds how many messages of one stream wait. Envoy sends messages of some 16 KiB.
	Length = 512
	// CrowdedAt is the part of the bound of a stream from which on it is crowded.
	CrowdedAt = 8
)

// Total is how many bytes wait in the queues of all streams.
type Total struct{ bytes atomic.Int64 }

// Bytes returns the number.
func (t *Total) Bytes() int64 { return t.bytes.Load() }

// Message is a message that waits, with the instant at which it arrived.
type Message struct {
	Data    mem.Buffer
	Arrived breaker.Instant
}

// Queue has the messages of one stream.
type Queue struct {
	all     *Total
	own     atomic.Int64 // bytes in this queue, and of the messages that are being counted
	waiting chan Message
}

// New returns an empty queue. Its bytes are added to all.
func New(all *Total) *Queue { return &Queue{all: all, waiting: make(chan Message, Length)} }

// Push takes over a message. It makes room by dropping the messages that have waited longest, which the caller gets, and the
// message itself where there is still no room. One goroutine at a time may call Push and Close.
func (q *Queue) Push(m Message, dropped func(mem.Buffer)) {
	q.add(m.Data.Len())
	for {
		if q.own.Load() <= q.bound() {
			select {
			case q.waiting <- m:
				return
			default:
			}
		}
		select {
		case oldest := <-q.waiting:
			q.add(-oldest.Data.Len())
			dropped(oldest.Data)
		default:
			q.add(-m.Data.Len())
			dropped(m.Data)
			return
		}
	}
}

// Close closes Waiting behind the messages that wait.
func (q *Queue) Close() { close(q.waiting) }

// Waiting yields the messages. Each has to be given to Free when it is counted.
func (q *Queue) Waiting() <-chan Message { return q.waiting }

// Free frees a message from Waiting, which no longer counts as waiting.
func (q *Queue) Free(m Message) {
	q.add(-m.Data.Len())
	m.Data.Free()
}

// Crowded reports whether the queue is an eighth full or more.
func (q *Queue) Crowded() bool { return q.own.Load() > q.bound()/CrowdedAt }

// bound returns how many bytes may wait in the queue. No stream may have more than what is left for all others, so that there is
// room for a quiet stream beside any number of busy ones.
func (q *Queue) bound() int64 { return min(MaxStream, MaxTotal-q.all.bytes.Load()) }

func (q *Queue) add(bytes int) {
	q.own.Add(int64(bytes))
	q.all.bytes.Add(int64(bytes))
}
