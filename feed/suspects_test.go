package feed

import (
	"strings"
	"testing"
	"time"

	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	"pgregory.net/rapid"

	"breakwater.dev/breaker"
	"breakwater.dev/policy"
	"breakwater.dev/wire"
)

var keyWeb = breaker.Key{Upstream: "web"}

// fleet is some proxies that call the upstream "web", whose breaker trips by five failures in a row. Each proxy makes a call
// every 4 ms, and sends its log every 50 ms.
type fleet struct {
	*rig
	proxies []*busyProxy
	asked   int           // how many times all calls were to be logged
	exact   bool          // they are to be logged now
	lasts   time.Duration // how long a successful call takes; 0: a millisecond
	atOnce  bool          // all proxies send their logs at the same time, one after the other
	tripped bool
}

// busyProxy is a proxy that logs one in n of the successes, or all calls.
type busyProxy struct {
	id      string
	worker  *worker
	n, made int
	exact   bool // the worker logs all calls
	waiting []*datav3.HTTPAccessLogEntry
	logged  struct{ failures, exact, sampled int }
}

const (
	oneInN     = 16
	callsEvery = 4 * time.Millisecond
	flushEvery = 50 * time.Millisecond
)

func newFleet(t testing.TB, proxies int, scope string) *fleet {
	f := &fleet{rig: newRig(t)}
	text := strings.Replace(policies, "consecutiveFailures: 0, failureRateThreshold: 100%, minimumNumberOfCalls: 1000000", "consecutiveFailures: 5", 1)
	text = strings.Replace(text, "outlierDetection: {scope: Mesh, alwaysEjectOneEndpoint: true}", "scope: "+scope, 1)
	set, problems := policy.Parse([]policy.File{{Name: "policy.yaml", Data: []byte(text)}}, policy.BuiltinDefaults())
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	f.engine.Apply(set.Specs(), f.now)
	f.server.Apply(set)
	f.server.options.LogAll = func(key breaker.Key) {
		f.exact = true
		if f.asked++; key != keyWeb {
			t.Errorf("all calls of %s are to be logged", key)
		}
	}
	for i := range proxies {
		id := string(rune('a' + i))
		f.server.Applied(id, oneIn(oneInN), f.now.Add(-time.Minute))
		f.proxies = append(f.proxies, &busyProxy{id: id, n: oneInN, worker: newWorker(f.server, f.server.join(id, ""), "")})
	}
	f.serve(2*time.Second, nil)
	return f
}

// call makes a call through the proxy.
func (f *fleet) call(p *busyProxy, fails bool) {
	p.made++
	var e *datav3.HTTPAccessLogEntry
	kind := wire.RouteClosed
	switch {
	case p.exact:
		kind = wire.RouteExact
	case p.made%p.n == 0:
		kind = wire.RouteSampled
	}
	switch {
	case fails:
		p.logged.failures++
		e = f.logged(route("web", kind), answered(500))
	case kind == wire.RouteClosed:
		return
	default:
		if p.exact {
			p.logged.exact++
		} else {
			p.logged.sampled++
		}
		e = f.logged(route("web", kind), nil)
		if f.lasts > 0 {
			took(f.lasts)(e)
		}
	}
	p.waiting = append(p.waiting, e)
}

// flush sends the log of a proxy.
func (f *fleet) flush(p *busyProxy) {
	f.worker = p.worker
	f.take(p.waiting...)
	p.waiting = nil
}

// serve lets time pass. The calls through a proxy fail where fails returns true; nil: none does. It ends when the breaker trips.
func (f *fleet) serve(d time.Duration, fails func(proxy int) bool) {
	const step = callsEvery
	for end := f.now.Add(d); f.now < end; f.now = f.now.Add(step) {
		for i, p := range f.proxies {
			f.call(p, fails != nil && fails(i))
			phase := time.Duration(i) * flushEvery / time.Duration(len(f.proxies))
			if f.atOnce {
				phase = 0
			}
			if (time.Duration(f.now)+phase)%flushEvery < step {
				f.flush(p)
			}
		}
		if time.Duration(f.now)%time.Second < step {
			f.apply(f.server.Sample(f.now)[keyWeb].Exact)
		} else if f.exact {
			f.apply(true)
		}
		if f.tripped = f.status().State != breaker.Closed; f.tripped {
			return
		}
	}
}

// apply has all proxies take up whether all calls are logged.
func (f *fleet) apply(exact bool) {
	for _, p := range f.proxies {
		if p.exact != exact {
			p.exact = exact
			s := oneIn(oneInN)
			s[keyWeb] = wire.Sampling{Passed: oneInN, Exact: exact}
			f.server.Applied(p.id, s, f.now)
		}
	}
	f.exact = exact
}

// status returns the status of the breaker, or of the first proxy's breaker where each has its own.
func (f *fleet) status() breaker.Status {
	if own := f.engine.Breaker(breaker.Key{Upstream: "web", Node: "a"}); own != nil {
		return own.Status(f.now)
	}
	return f.engine.Breaker(keyWeb).Status(f.now)
}

func all(int) bool { return true }

// TestDeadServiceOfABusyUpstream: its breaker trips by far fewer failures than a sample would need, which are 456. When it
// has tripped, the exact log ends.
func TestDeadServiceOfABusyUpstream(t *testing.T) {
	for _, scope := range []string{"Mesh", "Node"} {
		f := newFleet(t, 4, scope)
		f.serve(5*time.Second, all)
		s := f.status()
		if !f.tripped || s.Counts.Failures > 120 || f.asked != 1 {
			t.Errorf("%s: tripped %t after %d failures, asked %d times; want at most 120, and once", scope, f.tripped, s.Counts.Failures, f.asked)
		}
		f.now = f.now.Add(time.Second)
		f.server.Sample(f.now)
		f.now = f.now.Add(time.Second)
		if scope == "Mesh" && f.server.Sample(f.now)[keyWeb].Exact {
			t.Errorf("%s: all calls are logged after the trip", scope)
		}
	}
}

// TestOneProxyFails: where the calls of one proxy of eight fail, there are successes among them, so the breaker does not trip.
// Its failures are suspicious only until they are usual.
func TestOneProxyFails(t *testing.T) {
	for _, atOnce := range []bool{false, true} {
		f := newFleet(t, 8, "Mesh")
		f.atOnce = atOnce
		first := func(proxy int) bool { return proxy == 0 }
		f.serve(time.Second, first)
		if f.asked == 0 {
			t.Errorf("all logs at once %t: the failures were not suspicious", atOnce)
		}
		f.serve(39*time.Second, first)
		if f.tripped {
			t.Errorf("all logs at once %t: the breaker has tripped: %+v", atOnce, f.status())
		}
		if f.proxies[0].exact {
			t.Errorf("all logs at once %t: all calls are still logged", atOnce)
		}
	}
}

// TestShortTrouble: four failures in a row over all proxies trip nothing, and the sample is back ten seconds later.
func TestShortTrouble(t *testing.T) {
	f := newFleet(t, 4, "Mesh")
	f.serve(2*callsEvery, all)
	f.serve(time.Second, nil)
	if f.tripped || !f.proxies[0].exact {
		t.Fatalf("tripped %t, all calls logged %t; want only the second", f.tripped, f.proxies[0].exact)
	}
	began := f.now
	for f.proxies[0].exact && f.now.Sub(began) < time.Minute {
		f.serve(time.Second, nil)
	}
	if took := f.now.Sub(began); f.tripped || took < 8*time.Second || took > 11*time.Second {
		t.Errorf("tripped %t, all calls logged for %s; want some 10 s", f.tripped, took)
	}
}

// TestLateProxyHidesNothing: while one proxy still samples its successes, the failures of the others are not certain.
func TestLateProxyHidesNothing(t *testing.T) {
	f := newFleet(t, 4, "Mesh")
	late := f.proxies[3]
	late.made, late.n = 0, 1<<30 // it logs no success, and never takes up that it should
	others := f.proxies[:3]
	f.proxies = others
	f.serve(200*time.Millisecond, all)
	if f.tripped || f.asked == 0 {
		t.Errorf("tripped %t, suspicious %t; want only the second", f.tripped, f.asked > 0)
	}
	late.worker.leave()
	f.serve(200*time.Millisecond, all)
	if !f.tripped {
		t.Errorf("the breaker has not tripped though the late proxy is gone: %+v", f.status())
	}
}

// TestSlowSuccessesMayBeUnseen: successes of calls that take long come for as long after the change, and most of them are not
// logged. Failures that come sooner are not certain, so the breaker trips only when the run is too long for chance.
func TestSlowSuccessesMayBeUnseen(t *testing.T) {
	f := newFleet(t, 4, "Mesh")
	f.lasts = 600 * time.Millisecond
	f.serve(2*time.Second, nil)
	f.serve(5*time.Second, all)
	if s := f.status(); f.asked != 1 || !f.tripped || s.Counts.Failures < 456 {
		t.Errorf("suspicious %d times, tripped %t after %d failures; want a trip by chance, after 456 or more", f.asked, f.tripped, s.Counts.Failures)
	}
}

// TestSuspectNeedsNoMoreMessages: the stream by which a breaker has become a suspect reports the outcomes that have waited, also when no
// message comes, and does so until the alert is over.
func TestSuspectNeedsNoMoreMessages(t *testing.T) {
	f := newFleet(t, 1, "Mesh")
	p := f.proxies[0]
	if p.worker.settleDue(f.now) {
		t.Error("there is something to settle though all is well")
	}
	for range 4 {
		f.call(p, true)
	}
	f.flush(p)
	f.call(p, true)
	f.flush(p)
	for _, tt := range []struct {
		after time.Duration
		want  uint64
		due   bool
	}{{0, 4, true}, {50 * time.Millisecond, 4, true}, {60 * time.Millisecond, 5, true}, {20 * time.Second, 5, true}} {
		if due := p.worker.settleDue(f.now.Add(tt.after)); due != tt.due || f.status().Counts.Failures != tt.want {
			t.Errorf("after %s: %d failures are counted, something is due %t; want %d, %t", tt.after, f.status().Counts.Failures, due, tt.want, tt.due)
		}
	}
	f.server.Sample(f.now.Add(20 * time.Second))
	if p.worker.settleDue(f.now.Add(20 * time.Second)) {
		t.Error("there is something to settle after the alert")
	}
}

// TestFlipsChangeNoWeight: whenever a worker takes up that all calls are to be logged, or no longer are, and whenever the proxy says
// that it did, each entry counts for the calls that it stands for, and once.
func TestFlipsChangeNoWeight(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := newFleet(t, rapid.IntRange(1, 3).Draw(rt, "proxies"), "Mesh")
		f.server.options.LogAll = func(breaker.Key) {}
		for range rapid.IntRange(1, 300).Draw(rt, "steps") {
			f.now = f.now.Add(time.Duration(rapid.IntRange(0, 20).Draw(rt, "pause")) * time.Millisecond)
			p := f.proxies[rapid.IntRange(0, len(f.proxies)-1).Draw(rt, "proxy")]
			switch rapid.SampledFrom([]string{"good", "bad", "flip", "say", "flush", "sample"}).Draw(rt, "what") {
			case "good":
				f.call(p, false)
			case "bad":
				f.call(p, true)
			case "flip":
				p.exact = !p.exact
			case "say":
				s := oneIn(oneInN)
				s[keyWeb] = wire.Sampling{Passed: oneInN, Exact: rapid.Bool().Draw(rt, "exact")}
				f.server.Applied(p.id, s, f.now)
			case "flush":
				f.flush(p)
			case "sample":
				f.server.Sample(f.now)
			}
		}
		for _, p := range f.proxies {
			f.flush(p)
		}
		for range 2 { // the alert is over, and then what has waited is counted
			f.now = f.now.Add(11 * time.Second)
			f.server.Sample(f.now)
		}
		var want breaker.Counts
		for _, p := range f.proxies {
			want.Failures += uint64(p.logged.failures)
			want.Successes += uint64(p.logged.exact + oneInN*p.logged.sampled)
		}
		if got := f.status().Counts; got.Failures != want.Failures || got.Successes != want.Successes {
			rt.Errorf("%d failures and %d successes are counted, want %d and %d", got.Failures, got.Successes, want.Failures, want.Successes)
		}
	})
}

// TestBusyMeshIsNotLoggedExactly: in a mesh with many calls a sample convinces as soon as an exact log would.
func TestBusyMeshIsNotLoggedExactly(t *testing.T) {
	f := newFleet(t, 20, "Mesh")
	f.serve(30*time.Second, all)
	if s := f.status(); f.asked > 0 || !f.tripped || s.Counts.Failures > 600 {
		t.Errorf("suspicious %t, tripped %t after %d failures; want a trip by the sample, which takes some 456", f.asked > 0, f.tripped, s.Counts.Failures)
	}
}
