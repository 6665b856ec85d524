package breaker

// sliceParts is how many parts the threshold of slow calls has. A call in flight is
// found slow at most one part after the threshold.
const sliceParts = 8

// flight is the calls in flight that a closed breaker has admitted in this generation,
// in slices by the time at which they began.
type flight struct {
	end    Instant  // when the slice ends that is filled now; never if no call is slow
	now    uint32   // calls of this slice, without those that cells hold
	passed uint32   // calls that have passed the threshold, and count as slow
	older  *[]slice // slices whose calls have not passed it, in order of their epochs; nil before the first
}

// slice is the calls that began in one part of time.
type slice struct {
	epoch uint32
	calls uint32
	due   Instant // when all of them have passed the threshold
}

// enter begins a generation without calls. A threshold of 0 makes no call slow.
func (f *flight) enter(threshold, now Instant) {
	*f = flight{end: sliceEnd(threshold, now), older: f.older}
	if f.older != nil {
		*f.older = (*f.older)[:0]
	}
}

// sliceEnd returns the end of the slice that now is in.
func sliceEnd(threshold, now Instant) Instant {
	if threshold == 0 {
		return never
	}
	width := threshold / sliceParts
	return (now/width + 1) * width
}

// total returns the number of calls, without those that cells hold.
func (f *flight) total() uint64 {
	n := uint64(f.now) + uint64(f.passed)
	for _, s := range f.slices() {
		n += uint64(s.calls)
	}
	return n
}

func (f *flight) slices() []slice {
	if f.older == nil {
		return nil
	}
	return *f.older
}

// turn begins the slice that now is in, and reports whether the one before had calls. It
// then keeps its epoch, and the breaker goes on in another. held is the number of
// calls that cells hold.
func (f *flight) turn(epoch, held uint32, threshold, now Instant) bool {
	due := f.end + threshold
	f.end = sliceEnd(threshold, now)
	if f.now+held == 0 {
		return false
	}
	if f.older == nil {
		f.older = new([]slice)
	}
	*f.older = append(*f.older, slice{epoch: epoch, calls: f.now + held, due: due})
	f.now = 0
	return true
}

// pass returns how many calls have passed the threshold by now and had not before.
func (f *flight) pass(now Instant) uint32 {
	older := f.slices()
	var n uint32
	gone := 0
	for gone < len(older) && older[gone].due <= now {
		n += older[gone].calls
		gone++
	}
	if gone > 0 {
		*f.older = append(older[:0], older[gone:]...)
		f.passed += n
	}
	return n
}

// land ends a call of an older slice, and reports whether it had passed the threshold.
func (f *flight) land(epoch uint32) (passed bool) {
	for i, s := range f.slices() {
		if s.epoch == epoch {
			(*f.older)[i].calls--
			return false
		}
	}
	f.passed--
	return true
}

// due returns when the next calls pass the threshold, or never.
func (f *flight) due() Instant {
	for _, s := range f.slices() {
		if s.calls > 0 {
			return s.due
		}
	}
	return never
}
