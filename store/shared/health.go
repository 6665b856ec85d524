package shared

import (
	"context"
	"errors"
	"sync"
)

// operation is one kind of request to the store.
type operation uint8

const (
	opBeat operation = iota
	opReplace
	opLeave
	opLoad
	opWrite
	opRemove
	operations // how many there are
)

// String returns the name of the operation in metrics.
func (op operation) String() string {
	return [operations]string{"beat", "replace", "leave", "load", "write", "remove"}[op]
}

// verb returns what the store does not do when the operation fails, for errors.
func (op operation) verb() string {
	return [operations]string{
		"take that this replica is alive", "take a new list of replicas", "forget this replica",
		"give the states of breakers", "take the states of breakers", "forget the states of breakers",
	}[op]
}

// health knows how the store has been, and when it may have lost what was written to it.
type health struct {
	mu sync.Mutex // guards the fields below

	used    bool // any operation has ended
	failing bool // the last operation failed
	errors  [operations]uint64
	fenced  uint64 // writes that were refused because a newer owner had written
	mark    string // the last mark that was seen; "": none yet
	// losses counts the times when content may have been lost: after an outage, and when the mark is another one.
	losses uint64
	onLoss func() // called without the lock; nil: nothing wants to know
	// unreadable is the record of a replica that could not be read at the last beat; "": all could.
	unreadable string
}

// ended counts an operation that has ended. An operation that its caller has cancelled says nothing about the store.
func (h *health) ended(op operation, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	h.mu.Lock()
	back := h.failing && err == nil
	h.used, h.failing = true, err != nil
	if err != nil {
		h.errors[op]++
	}
	h.loseAndUnlock(back)
}

// sawMark takes the mark of the content. A store that was emptied gets another one.
func (h *health) sawMark(mark string) {
	h.mu.Lock()
	other := h.mark != "" && h.mark != mark
	h.mark = mark
	h.loseAndUnlock(other)
}

// loseAndUnlock counts a loss, if it is one, and calls the listener without the lock.
func (h *health) loseAndUnlock(lost bool) {
	var listener func()
	if lost {
		h.losses++
		listener = h.onLoss
	}
	h.mu.Unlock()
	if listener != nil {
		listener()
	}
}

// countFenced counts a state that was refused.
func (h *health) countFenced() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fenced++
}

// listen makes f the listener of losses.
func (h *health) listen(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.onLoss = f
}

// lossCount returns how often content may have been lost.
func (h *health) lossCount() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.losses
}

// sawUnreadable takes a record that cannot be read, or "", and reports whether it is to be logged: once as long as it is there.
func (h *health) sawUnreadable(record string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	news := record != "" && record != h.unreadable
	h.unreadable = record
	return news
}
