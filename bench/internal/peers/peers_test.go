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

// fewBreakers returns a directory of 100 breakers and 128 calls.
func fewBreakers() Directory { return NewDirectory(100, 128, rand.New(rand.NewPCG(1, 1))) }

// perName returns how many of the first n calls of the order each breaker gets.
func perName(d Directory, n int) map[string]uint64 {
	counts := map[string]uint64{}
	for i := range n {
		counts[At(d.Order, i)]++
	}
	return counts
}

// TestColumns shows that closed breakers admit every call, on one core and on two, and that
// open breakers reject, also after they have been opened again.
func TestColumns(t *testing.T) {
	d := fewBreakers()
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
					// One peer rejects at random, and another may admit a probe; neither admits more than two in a thousand.
					if got := calls(1000, 0); got > 2 {
						t.Errorf("%d of 1000 calls of an open breaker were admitted, want none", got)
					}
				}
			}
		})
	}
}

// TestBreakersAreClosedBeforeTheTrip shows that the open breakers reject because of the trip.
func TestBreakersAreClosedBeforeTheTrip(t *testing.T) {
	for _, p := range All() {
		if p.Open == nil || p.Name == clockFloor().Name {
			continue
		}
		t.Run(p.Label(), func(t *testing.T) {
			if p.Lingers { // its circuits stay in the process, and the one with this name may be open from another test
				hystrix.Flush()
			}
			_, calls := p.Open()
			if got := calls(10, 0); got != 10 {
				t.Errorf("%d of 10 calls before the trip were admitted, want all", got)
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
	d := fewBreakers()
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
	d := fewBreakers()
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
		most    uint // the number of calls in its window
	}{{"count", failsafeCountBuilder, 100}, {"time", failsafeTimeBuilder, 1000}} {
		t.Run(tt.name, func(t *testing.T) {
			b := tt.builder.build(time.Minute)
			measure.OnTwo(failsafeCalls(b), 1000, 0)
			if got := b.Metrics().Successes(); got != tt.most {
				t.Errorf("%d successes after 1000 calls, want %d", got, tt.most)
			}
			d := fewBreakers()
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

// TestAegisRecords adds failures that would make it reject calls if the successes were not
// recorded. It has no counts to read.
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

// TestHandyRecords works like TestAegisRecords, since it has no counts to read either.
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

// TestResiliencyRecordsErrorsOnly shows that successes have no effect on the breaker, and that errors trip it.
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

// TestHystrixRecords shows that every call reaches the collector, and none is dropped.
func TestHystrixRecords(t *testing.T) {
	const calls = 5000 // more than fit into its queue
	// Circuits stay as long as the process, so each run of this test needs new names.
	fresh := fmt.Sprintf("run %d ", hystrixSeen.runs.Add(1))
	measure.OnTwo(hystrixCalls(hystrixCircuit(fresh), hystrixEvent{"success"}), calls, 0)
	hystrixSeen.await(t, fresh, calls)
	d := fewBreakers()
	for i := range d.Order {
		d.Order[i] = fresh + d.Order[i]
		hystrixCircuit(d.Order[i])
	}
	hystrixMany(d.Order, hystrixEvent{"success"})(300, 0)
	for name, want := range perName(d, 300) {
		hystrixSeen.await(t, name, want)
	}
}

// hystrixSeen counts the successes that hystrix passes to its collectors. Circuits
// use the collectors that are registered when they are made, so TestMain registers it.
var hystrixSeen collectors

func TestMain(m *testing.M) {
	metricCollector.Registry.Register(hystrixSeen.collectorFor)
	os.Exit(m.Run())
}

// collectors has a collector for each circuit, by the circuit's name.
type collectors struct {
	byName sync.Map
	runs   atomic.Int64
}

type collector struct{ successes atomic.Uint64 }

func (c *collector) Update(r metricCollector.MetricResult) { c.successes.Add(uint64(r.Successes)) }
func (c *collector) Reset()                                {}

func (c *collectors) collectorFor(name string) metricCollector.MetricCollector { return c.named(name) }

func (c *collectors) named(name string) *collector {
	one, _ := c.byName.LoadOrStore(name, new(collector))
	return one.(*collector)
}

// await waits until the circuit's goroutine has passed on the wanted number of successes.
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
			t.Fatalf("%s got %d successes, want %d", name, one.successes.Load(), want)
		}
	}
}

// TestDirectory shows that every breaker is called about equally often, by a copy of its name.
func TestDirectory(t *testing.T) {
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
