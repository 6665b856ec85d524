package breaker

import (
	"math/rand/v2"
	"testing"
)

// plainRing has the last calls as a list.
type plainRing struct {
	size  int
	calls []entry // 0: a call that no longer counts
}

func (p *plainRing) add(e entry, n uint32) {
	for range n {
		p.calls = append(p.calls, e)
	}
	p.calls = p.calls[max(0, len(p.calls)-p.size):]
}

func (p *plainRing) settle(c *call) {
	for i, e := range p.calls {
		if e&earlyEntry == 0 {
			continue
		}
		p.calls[i] = 0
		if c != nil {
			p.calls[i] = c.entry()
		}
		return
	}
	if c != nil {
		p.add(c.entry(), 1)
	}
}

func (p *plainRing) sums() (s sums, earlys uint32) {
	for _, e := range p.calls {
		if e != 0 {
			s.add(e.call(), 1)
		}
		if e&earlyEntry != 0 {
			earlys++
		}
	}
	return s, earlys
}

// TestRingIsTheLastCalls: the ring agrees with the list, whatever is added and settled, at
// once or one by one.
func TestRingIsTheLastCalls(t *testing.T) {
	for _, size := range []uint32{1, 2, 7, 100} {
		random := rand.New(rand.NewPCG(uint64(size), 1))
		w, plain := &window{}, &plainRing{size: int(size)}
		w.enter(&Config{WindowSize: size}, 0)
		for step := range 20_000 {
			c := call{failed: random.IntN(3) == 0, slow: random.IntN(4) == 0}
			n := uint32(1)
			if random.IntN(20) == 0 {
				n = random.Uint32N(2*size + 1)
			}
			switch random.IntN(5) {
			case 0, 1:
				w.add(c, n)
				plain.add(c.entry(), n)
			case 2:
				w.early(n, justNow)
				plain.add(call{slow: true}.entry()|earlyEntry, n)
			case 3:
				w.settle(&c, justNow)
				plain.settle(&c)
			case 4:
				w.settle(nil, justNow)
				plain.settle(nil)
			}
			want, earlys := plain.sums()
			if w.sum != want || w.earlys != earlys {
				t.Fatalf("size %d, step %d: %+v with %d in flight, want %+v with %d", size, step, w.sum, w.earlys, want, earlys)
			}
		}
	}
}

// TestRingForgetsNothingByTime: and it takes late reports as they come.
func TestRingForgetsNothingByTime(t *testing.T) {
	w := &window{}
	w.enter(&Config{WindowSize: 3}, 0)
	w.addAt(call{failed: true}, 1, -5)
	w.advance(epoch)
	w.addAt(call{}, 1, 0)
	if want := (sums{calls: 2, failures: 1}); w.sum != want || w.end() != never {
		t.Errorf("%+v until %d, want %+v for ever", w.sum, w.end(), want)
	}
	w.addAt(call{}, 2, 0)
	if want := (sums{calls: 3}); w.sum != want {
		t.Errorf("%+v, want %+v", w.sum, want)
	}
}

// TestCountWindowTripsByItsLastCalls: a failure that has left the window is forgotten.
func TestCountWindowTripsByItsLastCalls(t *testing.T) {
	r := newRig(t, counted(rateRule(5_000, 4), 4))
	r.call(Failure, Success, Success, Success, Failure)
	r.wantState(Closed, 0)
	if got, want := r.status().Window, (WindowCounts{Calls: 4, Failures: 1, Run: 1}); got != want {
		t.Errorf("window %+v, want %+v", got, want)
	}
	r.call(Failure)
	r.want(Edge{Closed, Open, FailureRate})
}
