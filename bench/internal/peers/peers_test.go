package peers

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/afex/hystrix-go/hystrix"
	metricCollector "github.com/afex/hystrix-go/hystrix/metric_collector"
	failsafe "github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/go-kratos/aegis/circuitbreaker"
	handy "github.com/streadway/handy/breaker"

	"breakwater.dev/bench/internal/measure"
	"breakwater.dev/breaker"
)

// few is a directory for tests: 100 breakers, 128 calls.
func few() Directory { return NewDirectory(100, 128, rand.New(rand.NewPCG(1, 1))) }

// perName is how often the first n calls of the order name each breaker.
func perName(d Directory, n int) map[string]uint64 {
	counts := map[string]uint64{}
	for i := range n {
		counts[At(d.Order, i)]++
	}
	return counts
}

// TestEveryColumnIsWhatItSays: closed breakers admit every call, on one core and
// on two; open ones reject, also after they have been opened again.
func TestEveryColumnIsWhatItSays(t *testing.T) {
	d := few()
	for _, p := range All() {
		t.Run(p.Label(), func(t *testing.T) {
			one := p.One()
			if got := one(500, 0); got != 500 {
				t.Errorf("%d of 500 calls of a closed breaker were admitted, want all", got)
			}
			if got, _ := measure.OnTwo(one, 1000, 0); got != 1000 {
				t.Errorf("%d of 1000 calls on two cores were admitted, want all", got)
			}
			if p.Many != nil {
				many := p.Many(d)
				if got := many(500, 0); got != 500 {
					t.Errorf("%d of 500 calls of many breakers were admitted, want all", got)
				}
				if got, _ := measure.OnTwo(many, 1000, 0); got != 1000 {
					t.Errorf("%d of 1000 calls of many breakers on two cores were admitted, want all", got)
				}
			}
			if p.Open != nil {
				trip, calls := p.Open()
				for range 2 {
					trip()
					// One rejects by chance, another may be due for a probe; neither is two in a thousand.
					if got := calls(1000, 0); got > 2 {
						t.Errorf("%d of 1000 calls of an open breaker were admitted, want none", got)
					}
				}
			}
		})
	}
}

// TestTheOpenBreakersWereClosed: it is tripping that makes them reject.
func TestTheOpenBreakersWereClosed(t *testing.T) {
	for _, p := range All() {
		if p.Open == nil || p.Name == clockFloor().Name {
			continue
		}
		t.Run(p.Label(), func(t *testing.T) {
			if p.Lingers { // its circuits stay, so the one of this name may be open from another test
				hystrix.Flush()
			}
			_, calls := p.Open()
			if got := calls(10, 0); got != 10 {
				t.Errorf("%d of 10 calls before it tripped were admitted, want all", got)
			}
		})
	}
}

func TestOursRecords(t *testing.T) {
	e, c := NewEngine([]string{"one"}, breaker.DefaultConfig())
	b := e.Breaker(breaker.Key{Upstream: "one"})
	measure.OnTwo(callsOf(b, c), 1000, 0)
	if got := b.Status(c.Now()); got.Counts.Successes != 1000 || got.Counts.Requests != 1000 || got.Window.Calls == 0 {
		t.Errorf("counts %+v, window %+v after 1000 calls", got.Counts, got.Window)
	}
	if got := b.Status(c.Now()).Config; !got.Trips() || !got.TripsOnSlowCalls() || got.FailureRateThreshold == 0 || got.ConsecutiveFailures == 0 || got.WindowSize > 0 {
		t.Errorf("config %+v does not have all rules on, and a window of time", got)
	}
	d := few()
	e, c = NewEngine(d.Names, breaker.DefaultConfig())
	callsByKey(e, c, d.Order)(300, 0)
	want := perName(d, 300)
	for _, s := range e.Snapshot(c.Now()) {
		if s.Counts.Successes != want[s.Key.Upstream] {
			t.Errorf("%s has %d successes, want %d", s.Key, s.Counts.Successes, want[s.Key.Upstream])
		}
	}
}

func TestGobreakerRecords(t *testing.T) {
	b := newGobreaker(time.Minute)
	measure.OnTwo(gobreakerCalls(b), 1000, 0)
	if got := b.Counts(); got.TotalSuccesses != 1000 || got.Requests != 1000 {
		t.Errorf("counts %+v after 1000 calls", got)
	}
	d := few()
	all := byName(d, func() *gobreakerBreaker { return newGobreaker(time.Minute) })
	gobreakerMany(all, d.Order)(300, 0)
	for name, want := range perName(d, 300) {
		if got := all[name].Counts().TotalSuccesses; uint64(got) != want {
			t.Errorf("%s has %d successes, want %d", name, got, want)
		}
	}
}

func TestFailsafeRecords(t *testing.T) {
	for _, tt := range []struct {
		name    string
		builder failsafeBuilder
		most    uint // what its window holds
	}{{"count", failsafeCountBuilder, 100}, {"time", failsafeTimeBuilder, 1000}} {
		t.Run(tt.name, func(t *testing.T) {
			b := tt.builder.build(time.Minute)
			measure.OnTwo(failsafeCalls(b), 1000, 0)
			if got := b.Metrics().Successes(); got != tt.most {
				t.Errorf("%d successes after 1000 calls, want %d", got, tt.most)
			}
			d := few()
			all := byName(d, func() failsafe.CircuitBreaker[any] { return tt.builder.build(time.Minute) })
			failsafeMany(all, d.Order)(300, 0)
			for name, want := range perName(d, 300) {
				if got := all[name].Metrics().Successes(); uint64(got) != want {
					t.Errorf("%s has %d successes, want %d", name, got, want)
				}
			}
		})
	}
}

// TestAegisRecords: it tells no counts, so it is asked whether failures that
// would have made it reject are few beside the successes.
func TestAegisRecords(t *testing.T) {
	admits := func(b circuitbreaker.CircuitBreaker) (admitted int) {
		for range 40 {
			b.MarkFailed()
		}
		for range 100 {
			if b.Allow() == nil {
				admitted++
			}
		}
		return admitted
	}
	if got := admits(newAegis()); got > 50 {
		t.Errorf("%d of 100 calls admitted with failures only, want few", got)
	}
	b := newAegis()
	measure.OnTwo(aegisCalls(b), 100, 0)
	if got := admits(b); got != 100 {
		t.Errorf("%d of 100 calls admitted with 100 successes and 40 failures, want all", got)
	}
	d := NewDirectory(1, 64, rand.New(rand.NewPCG(1, 1)))
	all := byName(d, newAegis)
	aegisMany(all, d.Order)(100, 0)
	if got := admits(all[d.Names[0]]); got != 100 {
		t.Errorf("%d of 100 calls admitted by name with 100 successes and 40 failures, want all", got)
	}
}

// TestHandyRecords: it tells no counts either.
func TestHandyRecords(t *testing.T) {
	admits := func(b handy.Breaker) bool {
		for range 20 {
			if !b.Allow() {
				return false
			}
			b.Failure(Duration)
		}
		return true
	}
	if admits(newHandy()) {
		t.Error("a breaker with failures only is closed, want open")
	}
	b := newHandy()
	measure.OnTwo(handyCalls(b), 100, 0)
	if !admits(b) {
		t.Error("a breaker with 100 successes and 20 failures is open, want closed")
	}
	d := NewDirectory(1, 64, rand.New(rand.NewPCG(1, 1)))
	all := byName(d, newHandy)
	handyMany(all, d.Order)(100, 0)
	if !admits(all[d.Names[0]]) {
		t.Error("a breaker found by name, with 100 successes and 20 failures, is open, want closed")
	}
}

// TestResiliencyRecordsErrorsOnly: what it has in place of recording a success,
// which it does not do, is that the call was made; errors count.
func TestResiliencyRecordsErrorsOnly(t *testing.T) {
	b := newResiliency(time.Minute)
	resiliencyCalls(b)(1000, 0)
	fail := func() error { return errFailed }
	for i := range 5 {
		if got := b.Run(fail); got != errFailed {
			t.Fatalf("failure %d returned %v, want %v: 1000 successes do not count", i+1, got, errFailed)
		}
	}
	if got := resiliencyCalls(b)(10, 0); got != 0 {
		t.Errorf("%d of 10 calls admitted after 5 failures, want none", got)
	}
}

// TestHystrixRecords: every call reaches the collector, none is dropped.
func TestHystrixRecords(t *testing.T) {
	const calls = 5000 // more than its queue holds
	// Circuits stay as long as the process, so each run of this test needs names of its own.
	fresh := fmt.Sprintf("run %d ", hystrixSeen.runs.Add(1))
	measure.OnTwo(hystrixCalls(hystrixCircuit(fresh), hystrixEvent{"success"}), calls, 0)
	hystrixSeen.await(t, fresh, calls)
	d := few()
	for i := range d.Order {
		d.Order[i] = fresh + d.Order[i]
		hystrixCircuit(d.Order[i])
	}
	hystrixMany(d.Order, hystrixEvent{"success"})(300, 0)
	for name, want := range perName(d, 300) {
		hystrixSeen.await(t, name, want)
	}
}

// hystrixSeen counts successes that hystrix hands to its collectors. Circuits
// take the collectors that there are when they are made, hence TestMain.
var hystrixSeen collectors

func TestMain(m *testing.M) {
	metricCollector.Registry.Register(hystrixSeen.of)
	os.Exit(m.Run())
}

// collectors are by name of the circuit.
type collectors struct {
	byName sync.Map
	runs   atomic.Int64
}

type collector struct{ successes atomic.Uint64 }

func (c *collector) Update(r metricCollector.MetricResult) { c.successes.Add(uint64(r.Successes)) }
func (c *collector) Reset()                                {}

func (c *collectors) of(name string) metricCollector.MetricCollector { return c.named(name) }

func (c *collectors) named(name string) *collector {
	one, _ := c.byName.LoadOrStore(name, new(collector))
	return one.(*collector)
}

// await waits for the circuit's goroutine to have seen so many successes.
func (c *collectors) await(t *testing.T, name string, want uint64) {
	t.Helper()
	one := c.named(name)
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for one.successes.Load() != want {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s saw %d successes, want %d", name, one.successes.Load(), want)
		}
	}
}

// TestDirectoryCallsEveryBreakerByACopyOfItsName, about equally often.
func TestDirectoryCallsEveryBreakerByACopyOfItsName(t *testing.T) {
	for _, tt := range []struct{ n, length, want int }{{1, 1, 1}, {1, 100, 128}, {100, 100, 128}, {1000, 1, 1024}} {
		d := NewDirectory(tt.n, tt.length, rand.New(rand.NewPCG(1, 1)))
		if len(d.Names) != tt.n || len(d.Order) != tt.want {
			t.Fatalf("%d names in an order of %d, want %d and %d", len(d.Names), len(d.Order), tt.n, tt.want)
		}
		own := map[string]*byte{}
		for _, name := range d.Names {
			own[name] = unsafe.StringData(name)
		}
		counts := perName(d, tt.want)
		for name, calls := range counts {
			if least := uint64(tt.want / tt.n); calls < least || calls > least+1 {
				t.Errorf("%s is called %d times, want %d or one more", name, calls, least)
			}
		}
		for i, name := range d.Order {
			if unsafe.StringData(name) == own[name] {
				t.Fatalf("call %d: %q is the breaker's own string", i, name)
			}
		}
		if len(counts) != tt.n {
			t.Errorf("%d of %d breakers are called", len(counts), tt.n)
		}
	}
}
