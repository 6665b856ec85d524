package breaker

// entry is one call in a count-based window. 0 is a place where no call counts.
type entry uint8

const (
	anyEntry entry = 1 << iota
	failedEntry
	slowEntry
	earlyEntry
)

func (c call) entry() entry {
	e := anyEntry
	if c.failed {
		e |= failedEntry
	}
	if c.slow {
		e |= slowEntry
	}
	return e
}

func (e entry) call() call { return call{failed: e&failedEntry != 0, slow: e&slowEntry != 0} }

// ring is the last calls of a count-based window, the oldest at next.
type ring struct {
	entries []entry
	next    int
}

func newRing(size uint32) *ring { return &ring{entries: make([]entry, size)} }

// add puts in n calls, each in the place of the oldest.
func (r *ring) add(w *window, e entry, n uint32) {
	for range min(n, uint32(len(r.entries))) {
		r.remove(w, r.next)
		r.put(w, r.next, e)
		r.next++
		if r.next == len(r.entries) {
			r.next = 0
		}
	}
}

func (r *ring) put(w *window, i int, e entry) {
	r.entries[i] = e
	if e == 0 {
		return
	}
	w.sum.add(e.call(), 1)
	if e&earlyEntry != 0 {
		w.earlys++
	}
}

func (r *ring) remove(w *window, i int) {
	e := r.entries[i]
	if e == 0 {
		return
	}
	r.entries[i] = 0
	gone := sums{}
	gone.add(e.call(), 1)
	w.sum.sub(gone)
	if e&earlyEntry != 0 {
		w.earlys--
	}
}

// settle makes the oldest early call what it was in the end, in its place.
func (r *ring) settle(w *window, c *call) {
	i := r.next
	for r.entries[i]&earlyEntry == 0 {
		i++
		if i == len(r.entries) {
			i = 0
		}
	}
	r.remove(w, i)
	if c != nil {
		r.put(w, i, c.entry())
	}
}

// correct makes the youngest call that is like the old one the new one, in its place.
// Where there is no such call, the new one is added.
func (r *ring) correct(w *window, old, now *call) {
	i := -1
	if old != nil {
		i = r.youngest(old.entry())
	}
	switch {
	case i >= 0:
		r.remove(w, i)
		if now != nil {
			r.put(w, i, now.entry())
		}
	case now != nil:
		r.add(w, now.entry(), 1)
	}
}

// youngest returns the place of the youngest entry that is e, or -1.
func (r *ring) youngest(e entry) int {
	size := len(r.entries)
	for i := r.next - 1 + size; i >= r.next; i-- {
		if r.entries[i%size] == e {
			return i % size
		}
	}
	return -1
}
