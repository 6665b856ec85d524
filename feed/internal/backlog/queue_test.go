package backlog

import (
	"slices"
	"testing"

	"google.golang.org/grpc/mem"
)

// message is a message of a size that begins with a number.
func message(number byte, size int) Message {
	return Message{Data: mem.SliceBuffer(append([]byte{number}, make([]byte, size-1)...))}
}

// TestQueueKeepsTheFreshest: a stream has a bound in bytes and in messages, and drops what has waited longest.
func TestQueueKeepsTheFreshest(t *testing.T) {
	for name, tt := range map[string]struct {
		size, fit int
	}{
		"bytes":    {1 << 20, MaxStream >> 20},
		"messages": {16, Length},
	} {
		var all Total
		q := New(&all)
		var dropped []byte
		for i := range tt.fit + 3 {
			q.Push(message(byte(i), tt.size), func(b mem.Buffer) { dropped = append(dropped, b.ReadOnlyData()[0]) })
		}
		if want := []byte{0, 1, 2}; !slices.Equal(dropped, want) {
			t.Errorf("%s: messages %v are dropped, want %v", name, dropped, want)
		}
		if first := <-q.waiting; first.Data.ReadOnlyData()[0] != 3 {
			t.Errorf("%s: message %d comes first, want 3", name, first.Data.ReadOnlyData()[0])
		}
		if got, want := all.Bytes(), int64(tt.fit*tt.size); got != want || q.own.Load() != want {
			t.Errorf("%s: %d bytes wait, want %d", name, got, want)
		}
	}
}

// TestQueuesShareTheirBound: all streams together have a bound, and a quiet stream has room beside any number of busy ones.
func TestQueuesShareTheirBound(t *testing.T) {
	for _, busy := range []int{1, 8, 64} {
		var all Total
		dropped := 0
		drop := func(mem.Buffer) { dropped++ }
		queues := make([]*Queue, busy)
		for i := range queues {
			queues[i] = New(&all)
		}
		for range 2 * Length {
			for _, q := range queues {
				q.Push(message(0, 16<<10), drop)
			}
		}
		if got := all.Bytes(); got > MaxTotal || got < 7<<20 {
			t.Errorf("%d busy streams: %d bytes wait, want up to %d", busy, got, MaxTotal)
		}
		dropped = 0
		quiet := New(&all)
		for range 8 {
			quiet.Push(message(0, 16<<10), drop)
		}
		if dropped > 0 {
			t.Errorf("%d busy streams: %d messages of a quiet one are dropped", busy, dropped)
		}
	}
}

// TestMessageWithoutRoom: a message that does not fit into an empty queue is dropped itself.
func TestMessageWithoutRoom(t *testing.T) {
	var all Total
	all.bytes.Store(MaxTotal)
	var dropped []mem.Buffer
	q := New(&all)
	q.Push(message(0, 16), func(b mem.Buffer) { dropped = append(dropped, b) })
	if len(dropped) != 1 || len(q.waiting) != 0 || q.own.Load() != 0 || all.Bytes() != MaxTotal {
		t.Errorf("%d are dropped and %d wait, want one dropped", len(dropped), len(q.waiting))
	}
}

// TestCrowded: a queue is crowded from an eighth of its bound on, which counts the messages that are being counted, until they are
// freed.
func TestCrowded(t *testing.T) {
	var all Total
	q := New(&all)
	const size = 16 << 10
	for range MaxStream / CrowdedAt / size {
		q.Push(message(0, size), nil)
	}
	if q.Crowded() {
		t.Error("a queue is crowded too early")
	}
	q.Push(message(0, size), nil)
	m := <-q.Waiting()
	if !q.Crowded() {
		t.Error("a queue is not crowded")
	}
	q.Free(m)
	if q.Crowded() || all.Bytes() != MaxStream/CrowdedAt {
		t.Errorf("%d bytes wait, want %d", all.Bytes(), MaxStream/CrowdedAt)
	}
	q.Close()
	for m := range q.Waiting() {
		q.Free(m)
	}
	if all.Bytes() != 0 {
		t.Errorf("%d bytes wait at the end", all.Bytes())
	}
}
