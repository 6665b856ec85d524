package breaker

// windowBuckets is how many parts a time-based window has. With more parts it would
// forget more smoothly, and be larger.
const windowBuckets = 10

// buckets counts the calls of a time-based window in a ring of equal parts of time.
type buckets struct {
	width  Instant // how long one bucket is
	newest int64   // the number of the newest bucket: instant / width
	sums   [windowBuckets]sums
	earlys *[windowBuckets]uint32 // early calls by bucket; nil before the first
}

func (t *buckets) end() Instant { return Instant(t.newest+1) * t.width }

// number returns the number of the bucket that an instant is in, which is never after the
// newest. It is below 0 for an instant before the start of the clock.
func (t *buckets) number(at Instant) int64 {
	n := int64(at / t.width)
	if at%t.width < 0 {
		n--
	}
	return min(n, t.newest)
}

// place returns where the bucket with that number is in the ring.
func place(number int64) int64 {
	return (number%windowBuckets + windowBuckets) % windowBuckets
}

// hold reports whether the window still has the bucket with that number.
func (t *buckets) hold(number int64) bool { return t.newest-number < windowBuckets }

func (t *buckets) add(w *window, c call, n uint32, number int64) {
	n = w.room(n)
	t.sums[place(number)].add(c, n)
	w.sum.add(c, n)
}

// advance makes current the newest bucket, and empties those that it passes.
func (t *buckets) advance(w *window, current int64) {
	for n := max(t.newest+1, current-windowBuckets+1); n <= current; n++ {
		b := &t.sums[place(n)]
		w.sum.sub(*b)
		*b = sums{}
		if t.earlys != nil {
			w.earlys -= t.earlys[place(n)]
			t.earlys[place(n)] = 0
		}
	}
	t.newest = current
}

func (t *buckets) early(w *window, n uint32, number int64) {
	n = w.room(n)
	if t.earlys == nil {
		t.earlys = new([windowBuckets]uint32)
	}
	t.earlys[place(number)] += n
	w.earlys += n
	t.add(w, call{slow: true}, n, number)
}

// withdraw takes the oldest early call out.
func (t *buckets) withdraw(w *window) {
	for n := t.newest + 1; ; n++ {
		i := place(n)
		if t.earlys[i] == 0 {
			continue
		}
		t.earlys[i]--
		w.earlys--
		t.sums[i].sub(sums{calls: 1, slow: 1})
		w.sum.sub(sums{calls: 1, slow: 1})
		return
	}
}

// takeBack takes a call that did not fail out of the bucket of an instant, if it can be
// one of the calls there. Early calls are left alone.
func (t *buckets) takeBack(w *window, slow bool, at Instant) {
	number := t.number(at)
	if !t.hold(number) {
		return
	}
	b, early, gone := &t.sums[place(number)], uint32(0), sums{calls: 1}
	if t.earlys != nil {
		early = t.earlys[place(number)]
	}
	found := b.calls-b.failures > early
	if slow {
		found, gone.slow = found && b.slow > early, 1
	} else {
		found = found && b.calls > b.slow
	}
	if found {
		b.sub(gone)
		w.sum.sub(gone)
	}
}
