package outlier

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// rig is a detector of one upstream, and a clock that a test sets.
type rig struct {
	t        testing.TB
	detector *Detector
	now      Instant
	events   []Event
}

func newRig(t testing.TB, endpoints int, change func(*Config)) *rig {
	r := &rig{t: t, now: Instant(time.Hour)}
	r.detector = NewDetector(func(e Event) { r.events = append(r.events, e) })
	r.apply(endpoints, change)
	return r
}

// only turns every rule off. A test then turns on the rules that it is about.
func only(c *Config) {
	c.Consecutive5xxErrors, c.ConsecutiveGatewayErrors, c.ConsecutiveLocalOriginFailures = 0, 0, 0
	c.EnforcingSuccessRate, c.EnforcingLocalOriginSuccessRate = 0, 0
	c.MaxEjectionPercent = 100
}

func (r *rig) apply(endpoints int, change func(*Config)) {
	u := Upstream{Name: "web", Config: DefaultConfig()}
	only(&u.Config)
	change(&u.Config)
	for i := range endpoints {
		u.Endpoints = append(u.Endpoints, address(i))
	}
	r.detector.Apply([]Upstream{u}, r.now)
}

func address(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 80)
}

func (r *rig) report(endpoint int, classes ...Class) {
	var told []Outcome
	for _, c := range classes {
		told = append(told, Outcome{Endpoint: address(endpoint), Class: c, At: r.now})
	}
	r.detector.Report("web", told, r.now)
}

// TestClassOf: 502 to 504 say that the endpoint could not be reached by something in front of it.
func TestClassOf(t *testing.T) {
	for status, want := range map[int]Class{
		0: Success, 200: Success, 404: Success, 499: Success, 500: ServerError, 501: ServerError,
		502: GatewayError, 503: GatewayError, 504: GatewayError, 505: ServerError, 599: ServerError,
	} {
		if got := ClassOf(status); got != want {
			t.Errorf("%d: class %d, want %d", status, got, want)
		}
	}
}

// many reports calls of an endpoint, of which the first failures failed.
func (r *rig) many(endpoint, calls, failures int) {
	told := make([]Outcome, calls)
	for i := range told {
		told[i] = Outcome{Endpoint: address(endpoint), At: r.now}
		if i < failures {
			told[i].Class = ServerError
		}
	}
	r.detector.Report("web", told, r.now)
}

// pass lets time pass, and sweeps when it is due.
func (r *rig) pass(d time.Duration) {
	end := r.now.Add(d)
	for {
		next, ok := r.detector.Sweep(r.now)
		if !ok || next > end {
			r.now = end
			return
		}
		r.now = next
	}
}

func (r *rig) want(ejected ...int) {
	r.t.Helper()
	var want []netip.AddrPort
	for _, i := range ejected {
		want = append(want, address(i))
	}
	if diff := cmp.Diff(want, r.detector.Ejected("web"), cmp.Comparer(func(x, y netip.AddrPort) bool { return x == y })); diff != "" {
		r.t.Errorf("ejected (-want +got):\n%s", diff)
	}
}

// last returns what happened last.
func (r *rig) last() Event {
	r.t.Helper()
	if len(r.events) == 0 {
		r.t.Fatal("nothing happened")
	}
	return r.events[len(r.events)-1]
}

func TestConsecutiveErrors(t *testing.T) {
	fives := func(c *Config) { c.Consecutive5xxErrors = 3 }
	gateway := func(c *Config) { c.ConsecutiveGatewayErrors, c.EnforcingConsecutiveGatewayErrors = 3, 100 }
	local := func(c *Config) { c.ConsecutiveLocalOriginFailures, c.SplitExternalLocalOriginErrors = 3, true }
	const ok, five, gate, none = Success, ServerError, GatewayError, LocalOrigin
	for _, tt := range []struct {
		name   string
		change func(*Config)
		told   []Class
		rule   Rule
		out    bool
	}{
		{"three", fives, []Class{five, gate, none}, Consecutive5xxErrors, true},
		{"two", fives, []Class{five, five}, 0, false},
		{"broken by a success", fives, []Class{five, five, ok, five, five}, 0, false},
		{"gateway errors", gateway, []Class{gate, none, gate}, ConsecutiveGatewayErrors, true},
		{"broken by another error", gateway, []Class{gate, gate, five, gate, gate}, 0, false},
		{"local errors by themselves", local, []Class{none, none, none}, ConsecutiveLocalOriginFailures, true},
		{"broken by any answer", local, []Class{none, none, five, none, none}, 0, false},
		{"answers are no local errors", local, []Class{five, gate, five, gate}, 0, false},
		{"split errors are no answers", func(c *Config) { fives(c); c.SplitExternalLocalOriginErrors = true }, []Class{five, none, five, none, none}, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, 2, tt.change)
			r.report(1, tt.told...)
			if !tt.out {
				r.want()
				return
			}
			r.want(1)
			want := Event{Upstream: "web", Endpoint: address(1), Kind: Ejected, Rule: tt.rule, At: r.now, For: 30 * time.Second, Times: 1, Run: 3}
			if got := r.last(); got != want {
				t.Errorf("event %+v, want %+v", got, want)
			}
		})
	}
}

// TestEjectionsGrow: each ejection is longer than the one before, up to the maximum, and an
// interval in rotation forgets one.
func TestEjectionsGrow(t *testing.T) {
	r := newRig(t, 1, func(c *Config) {
		c.Consecutive5xxErrors, c.Interval, c.BaseEjectionTime, c.MaxEjectionTime = 1, time.Second, 2*time.Second, 5*time.Second
	})
	for n, want := range []time.Duration{2 * time.Second, 4 * time.Second, 5 * time.Second} {
		r.report(0, ServerError)
		r.want(0)
		if got := r.last(); got.For != want || got.Times != uint32(n+1) {
			t.Errorf("ejection %d is for %s, want %s", got.Times, got.For, want)
		}
		r.report(0, Success, ServerError) // from calls that began before the ejection
		r.pass(want - time.Millisecond)
		r.want(0)
		r.pass(time.Millisecond)
		r.want()
		if got := r.last().Kind; got != Returned {
			t.Errorf("it is %s, want returned", got)
		}
	}
	r.pass(2500 * time.Millisecond)
	r.report(0, ServerError)
	if got := r.last(); got.Times != 2 {
		t.Errorf("after two intervals in rotation it is ejection %d, want 2", got.Times)
	}
}

// TestMostEndpointsStay: a share of the endpoints, rounded down, may be out, or at least one.
func TestMostEndpointsStay(t *testing.T) {
	r := newRig(t, 9, func(c *Config) { c.Consecutive5xxErrors, c.MaxEjectionPercent = 1, 25 })
	for i := range 9 {
		r.report(i, ServerError)
	}
	r.want(0, 1)
	if got := r.detector.Snapshot()[0]; got.Detected != 7 || got.Ejections[Consecutive5xxErrors] != 2 || got.Endpoints != 9 {
		t.Errorf("status %+v, want 2 ejected and 7 detected", got)
	}
	r = newRig(t, 9, func(c *Config) { c.Consecutive5xxErrors, c.MaxEjectionPercent, c.AlwaysEjectOneEndpoint = 1, 10, true })
	r.report(3, ServerError)
	r.report(4, ServerError)
	r.want(3)
}

// TestEnforcingIsAChance: where a rule finds many endpoints, about that share of them is ejected.
func TestEnforcingIsAChance(t *testing.T) {
	r := newRig(t, 200, func(c *Config) { c.Consecutive5xxErrors, c.EnforcingConsecutive5xxErrors = 1, 30 })
	for i := range 200 {
		r.report(i, ServerError)
	}
	if got := len(r.detector.Ejected("web")); got < 40 || got > 80 {
		t.Errorf("%d of 200 are ejected, want about 60", got)
	}
}

func TestSuccessRate(t *testing.T) {
	r := newRig(t, 6, func(c *Config) {
		c.EnforcingSuccessRate, c.SuccessRateMinimumEndpoints, c.SuccessRateStdevFactor = 100, 5, 1900
	})
	told := func() {
		for i := range 5 {
			r.many(i, 100, 1)
		}
		r.many(5, 100, 20)
	}
	told()
	r.want()
	r.pass(10 * time.Second)
	r.want(5)
	if got := r.last(); got.Rule != SuccessRate || got.Calls != 100 || got.Failures != 20 {
		t.Errorf("event %+v, want by 20 failures of 100", got)
	}
	// Too few endpoints have enough calls, so none is compared.
	r = newRig(t, 6, func(c *Config) { c.EnforcingSuccessRate = 100 })
	for i := range 4 {
		r.many(i, 99, 1)
	}
	r.many(5, 100, 20)
	r.pass(10 * time.Second)
	r.want()
	// An interval is judged by itself.
	r = newRig(t, 6, func(c *Config) { c.EnforcingSuccessRate = 100 })
	for range 3 {
		for i := range 6 {
			r.many(i, 50, 40*(i/5))
		}
		r.pass(10 * time.Second)
	}
	r.want()
}

func TestFailurePercentage(t *testing.T) {
	r := newRig(t, 5, func(c *Config) { c.EnforcingFailurePercentage = 100 })
	r.many(0, 100, 85)
	r.many(1, 100, 84)
	r.many(2, 49, 49)
	r.many(3, 50, 50)
	r.many(4, 50, 0)
	r.pass(10 * time.Second)
	r.want() // endpoint 2 has too few calls, and with it the upstream too few endpoints
	r.many(0, 100, 85)
	r.many(1, 100, 84)
	r.many(2, 50, 50)
	r.many(3, 50, 50)
	r.many(4, 50, 0)
	r.pass(10 * time.Second)
	r.want(0, 2, 3)
}

// TestWeights: a success that stands for many calls counts as many, and where successes
// are sampled a run counts only when it cannot be luck.
func TestWeights(t *testing.T) {
	r := newRig(t, 5, func(c *Config) { c.EnforcingFailurePercentage, c.FailurePercentageMinimumEndpoints = 100, 1 })
	r.many(0, 40, 40)
	r.detector.Report("web", []Outcome{{Endpoint: address(0), Calls: 60, OneIn: 60, At: r.now}}, r.now)
	r.pass(10 * time.Second)
	r.want()
	r = newRig(t, 2, func(c *Config) { c.Consecutive5xxErrors = 3 })
	failure := []Outcome{{Endpoint: address(0), Class: ServerError, OneIn: 8, At: r.now}}
	n := 0
	for ; len(r.detector.Ejected("web")) == 0 && n < 1_000; n++ {
		r.detector.Report("web", failure, r.now)
	}
	if n < 100 || n > 300 {
		t.Errorf("a run of %d in a sample of one in 8 ejects, want some 240", n)
	}
}

// TestLateOutcomes: calls that ended before the endpoint came back, and calls at endpoints
// that are not there, do not count.
func TestLateOutcomes(t *testing.T) {
	r := newRig(t, 2, func(c *Config) { c.Consecutive5xxErrors = 2 })
	r.report(0, ServerError, ServerError)
	r.report(9, ServerError, ServerError)
	r.detector.Report("nobody", []Outcome{{Endpoint: address(0)}}, r.now)
	early := r.now
	r.pass(30 * time.Second)
	r.want()
	r.detector.Report("web", []Outcome{{Endpoint: address(0), Class: ServerError, At: early}, {Endpoint: address(0), Class: ServerError, At: early}}, r.now)
	r.want()
	// Outcomes that are reported in any order are taken in order of their times.
	r.now = r.now.Add(time.Second)
	r.detector.Report("web", []Outcome{
		{Endpoint: address(1), Class: ServerError, At: r.now}, {Endpoint: address(1), At: r.now - 1}, {Endpoint: address(1), Class: ServerError, At: r.now - 2},
	}, r.now)
	r.want()
	r.report(1, ServerError)
	r.want(1)
}

// TestApplyKeepsWhatIsOut: an endpoint that is out stays out unless it is gone, and another
// configuration begins to count from 0.
func TestApplyKeepsWhatIsOut(t *testing.T) {
	two := func(c *Config) { c.Consecutive5xxErrors = 2 }
	r := newRig(t, 3, two)
	r.report(0, ServerError, ServerError)
	r.report(1, ServerError)
	r.apply(3, two)
	r.report(1, ServerError)
	r.want(0, 1)
	r.report(2, ServerError)
	r.apply(3, func(c *Config) { two(c); c.Interval = 5 * time.Second })
	r.report(2, ServerError)
	r.want(0, 1)
	r.apply(1, two)
	r.want(0)
	r.detector.Apply(nil, r.now)
	r.want()
	if _, ok := r.detector.Sweep(r.now); ok {
		t.Error("nothing is judged, and something is due")
	}
}

// TestNeverTooManyOut: whatever happens, no more endpoints are out than allowed, the counts
// and the events agree, and each endpoint comes back.
func TestNeverTooManyOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(t, "endpoints")
		cfg := func(c *Config) {
			c.Consecutive5xxErrors, c.EnforcingSuccessRate, c.SuccessRateMinimumEndpoints, c.SuccessRateRequestVolume = 2, 100, 1, 1
			c.EnforcingFailurePercentage, c.FailurePercentageMinimumEndpoints, c.FailurePercentageRequestVolume = 50, 1, 1
			c.MaxEjectionPercent, c.AlwaysEjectOneEndpoint = 40, true
			c.MaxEjectionTimeJitter = time.Second
		}
		r := &rig{now: Instant(time.Hour)}
		out := map[netip.AddrPort]bool{}
		r.detector = NewDetector(func(e Event) {
			if e.Kind != Detected {
				if out[e.Endpoint] == (e.Kind == Ejected) {
					t.Fatalf("%s is %s, and was before", e.Endpoint, e.Kind)
				}
				out[e.Endpoint] = e.Kind == Ejected
			}
		})
		r.apply(n, cfg)
		most := Config{MaxEjectionPercent: 40, AlwaysEjectOneEndpoint: true}.MaxEjected(n)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			r.report(rapid.IntRange(0, n).Draw(t, "endpoint"), rapid.SliceOfN(rapid.SampledFrom([]Class{Success, ServerError, GatewayError, LocalOrigin}), 1, 6).Draw(t, "told")...)
			r.pass(time.Duration(rapid.Int64Range(0, int64(20*time.Second)).Draw(t, "pause")))
			ejected := r.detector.Ejected("web")
			if len(ejected) > most {
				t.Fatalf("%d are out, want %d at most", len(ejected), most)
			}
			for i := range n {
				if out[address(i)] != slices.Contains(ejected, address(i)) {
					t.Fatalf("%s: events say out=%t", address(i), out[address(i)])
				}
			}
		}
		r.pass(time.Hour)
		if left := r.detector.Ejected("web"); len(left) > 0 {
			t.Fatalf("%v never come back", left)
		}
	})
}

// TestConcurrentReports: many proxies report, with sweeps and readers at the same time.
func TestConcurrentReports(t *testing.T) {
	d := NewDetector(func(Event) {})
	u := Upstream{Name: "web", Config: DefaultConfig(), Endpoints: []netip.AddrPort{address(0), address(1), address(2)}}
	d.Apply([]Upstream{u}, 0)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 500 {
				now := Instant(i) * Instant(100*time.Millisecond)
				d.Report("web", []Outcome{{Endpoint: address(rand.IntN(3)), Class: Class(rand.IntN(4)), At: now}}, now)
				d.Sweep(now)
				d.Snapshot()
				d.Ejected("web")
			}
		})
	}
	wg.Wait()
	if got := d.Snapshot(); len(got) != 1 || got[0].Endpoints != 3 || len(got[0].Ejected) > 1 {
		t.Errorf("status %+v, want three endpoints of which one is out at most", got)
	}
}

func TestNames(t *testing.T) {
	names := map[string]bool{}
	for r := range ruleCount {
		names[r.String()] = true
	}
	if len(names) != int(ruleCount) {
		t.Errorf("names %v, want %d different ones", names, ruleCount)
	}
	if got := fmt.Sprint(Ejected, Detected, Returned); got != "ejected detected returned" {
		t.Errorf("kinds are called %s", got)
	}
}

func BenchmarkReport(b *testing.B) {
	r := newRig(b, 10, func(c *Config) { *c = DefaultConfig() })
	told := make([]Outcome, 100)
	for i := range told {
		told[i] = Outcome{Endpoint: address(i % 10), At: r.now, OneIn: 8, Calls: 8}
	}
	b.ReportAllocs()
	for range b.N {
		r.detector.Report("web", told, r.now)
	}
}
