// Package broadcast hands lines to many readers, none of which can hold up another or the sender.
//
// In: lines, from one sender or several.
// Out: to each reader every line since it joined, in order, or how many it has lost because it was too slow.
// Called by: httpapi, for the transitions that clients follow.
// Never: waits for a reader, or keeps more than a bounded number of lines for one.
// Concurrency: everything is safe for concurrent use; a [Reader] has one user.
package broadcast

import (
	"errors"
	"sync"
	"sync/atomic"
)

// Reasons why a reader cannot join.
var (
	ErrFull   = errors.New("there are as many readers as there may be")
	ErrClosed = errors.New("nothing will be sent any more")
)

// Hub is where readers and senders meet. Make one with [NewHub].
type Hub struct {
	most, backlog int
	done          chan struct{}
	count         atomic.Int32 // len(readers), which can be read without the lock

	mu      sync.Mutex
	readers map[*Reader]struct{}
	closed  bool
}

// NewHub returns a hub for at most that many readers, each of which can be backlog lines behind.
func NewHub(most, backlog int) *Hub {
	return &Hub{most: most, backlog: backlog, done: make(chan struct{}), readers: map[*Reader]struct{}{}}
}

// Reader is one that has joined, until it leaves.
type Reader struct {
	hub  *Hub
	wake chan struct{} // holds one

	mu    sync.Mutex
	lines [][]byte
	lost  uint64
}

// Join returns a new reader, which has to leave in the end, or the error [ErrFull] or [ErrClosed].
func (h *Hub) Join() (*Reader, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return nil, ErrClosed
	case len(h.readers) >= h.most:
		return nil, ErrFull
	}
	r := &Reader{hub: h, wake: make(chan struct{}, 1)}
	h.readers[r] = struct{}{}
	h.count.Store(int32(len(h.readers)))
	return r, nil
}

// Leave ends r. It may be called again.
func (r *Reader) Leave() {
	h := r.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.readers, r)
	h.count.Store(int32(len(h.readers)))
}

// Followed reports whether there is any reader. Where there is none, a line need not be made.
func (h *Hub) Followed() bool { return h.count.Load() > 0 }

// Send gives line to every reader. The line must not be changed afterwards.
func (h *Hub) Send(line []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for r := range h.readers {
		r.add(line, h.backlog)
	}
}

// add loses every line after the first lost one, until the reader has taken those that are there: so they have one gap, at their end.
func (r *Reader) add(line []byte, backlog int) {
	r.mu.Lock()
	if r.lost > 0 || len(r.lines) >= backlog {
		r.lost++
	} else {
		r.lines = append(r.lines, line)
	}
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// Wake receives when there may be something to take.
func (r *Reader) Wake() <-chan struct{} { return r.wake }

// Take returns the lines that came since the last call, and how many came after them and were lost.
func (r *Reader) Take() (lines [][]byte, lost uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	lines, lost = r.lines, r.lost
	r.lines, r.lost = nil, 0
	return lines, lost
}

// Done is closed when the hub is.
func (h *Hub) Done() <-chan struct{} { return h.done }

// Close tells all readers to leave, and lets no other join. It may be called again.
func (h *Hub) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.closed = true
		close(h.done)
	}
}
