package breaker

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

// sink keeps the compiler from removing the code that is measured.
var sink Decision

// benchmarked returns a closed breaker and its clock.
func benchmarked() (*Breaker, func() Instant) {
	start := time.Now()
	e := NewEngine(Options{Listen: func(Transition) {}})
	e.Apply([]Spec{{Key: keyA, Config: DefaultConfig(), Lease: 20 * time.Second}}, 0)
	return e.Breaker(keyA), func() Instant { return Instant(time.Since(start)) }
}

// BenchmarkClock reads the clock once, which all other benchmarks do as well.
func BenchmarkClock(b *testing.B) {
	_, now := benchmarked()
	b.ReportAllocs()
	for b.Loop() {
		now()
	}
}

// BenchmarkClosed makes one call that is admitted and succeeds.
func BenchmarkClosed(b *testing.B) {
	br, now := benchmarked()
	b.ReportAllocs()
	for b.Loop() {
		at := now()
		p, _ := br.Acquire(at)
		p.Done(Success, at)
	}
}

// BenchmarkClosedSettled makes such a call for a caller who knows how long the service took.
func BenchmarkClosedSettled(b *testing.B) {
	br, now := benchmarked()
	b.ReportAllocs()
	for b.Loop() {
		at := now()
		p, _ := br.Acquire(at)
		p.Settle(Success, time.Millisecond, at)
	}
}

// BenchmarkClosedUploading makes such a call before its request has ended.
func BenchmarkClosedUploading(b *testing.B) {
	br, now := benchmarked()
	b.ReportAllocs()
	for b.Loop() {
		at := now()
		p, _ := br.AcquireUploading(at)
		p.Settle(Success, time.Millisecond, at)
	}
}

// BenchmarkClosedParallel makes such calls on all cores, with one breaker.
func BenchmarkClosedParallel(b *testing.B) {
	br, now := benchmarked()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			at := now()
			p, _ := br.Acquire(at)
			p.Done(Success, at)
		}
	})
}

// BenchmarkClosedMany spreads the calls over 10,000 breakers, found by key.
func BenchmarkClosedMany(b *testing.B) {
	_, now := benchmarked()
	e, specs := manyBreakers(10_000)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		at := now()
		p, _ := e.Acquire(specs[i%len(specs)].Key, at)
		p.Done(Success, at)
	}
}

// BenchmarkOpen makes one call that is rejected.
func BenchmarkOpen(b *testing.B) {
	br, now := benchmarked()
	at := now().Add(time.Hour) // so far ahead that the wait outlasts the benchmark
	for range 5 {
		p, _ := br.Acquire(at)
		p.Done(Failure, at)
	}
	b.ReportAllocs()
	for b.Loop() {
		_, sink = br.Acquire(now())
	}
	if sink.Admitted {
		b.Fatal("admitted, want rejected")
	}
}

func manyBreakers(n int) (*Engine, []Spec) {
	specs := make([]Spec, n)
	for i := range specs {
		specs[i] = Spec{Key: Key{Upstream: fmt.Sprintf("upstream-%d", i)}, Config: DefaultConfig(), Lease: time.Second}
	}
	e := NewEngine(Options{Listen: func(Transition) {}})
	e.Apply(specs, epoch)
	return e, specs
}

// TestClosedCallsDoNotAllocate: nor do calls that an open breaker rejects.
func TestClosedCallsDoNotAllocate(t *testing.T) {
	e, specs := manyBreakers(1)
	b, now := e.Breaker(specs[0].Key), epoch
	call := func(o Outcome) func() {
		return func() {
			now++
			p, d := b.Acquire(now)
			p.Done(o, now)
			sink = d
		}
	}
	for _, o := range []Outcome{Success, Ignored, Abandoned} {
		if got := testing.AllocsPerRun(1000, call(o)); got != 0 {
			t.Errorf("%v allocations of a call with outcome %s, want 0", got, o)
		}
	}
	for name, acquire := range map[string]func(Instant) (Permit, Decision){"Acquire": b.Acquire, "AcquireUploading": b.AcquireUploading} {
		settled := func() {
			now++
			p, _ := acquire(now)
			p.Settle(Success, time.Millisecond, now)
		}
		if got := testing.AllocsPerRun(1000, settled); got != 0 {
			t.Errorf("%v allocations of calls that %s admits, want 0", got, name)
		}
	}
	for range 5 {
		call(Failure)()
	}
	if got := testing.AllocsPerRun(1000, call(Failure)); got != 0 || sink.State != Open {
		t.Errorf("%v allocations of a call in state %s, want 0 in open", got, sink.State)
	}
}

// TestIdleBreakerIsSmall: it takes at most 512 bytes, including its place in the engine.
func TestIdleBreakerIsSmall(t *testing.T) {
	const n, most = 100_000, 512
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	specs := make([]Spec, n)
	for i := range specs {
		specs[i] = spec(fmt.Sprint(i), DefaultConfig())
	}
	before := heap()
	e := NewEngine(Options{})
	e.Apply(specs, epoch)
	each := (heap() - before) / n
	if each > most {
		t.Errorf("%d bytes for each breaker, want at most %d", each, most)
	}
	runtime.KeepAlive(specs)
	runtime.KeepAlive(e)
}
