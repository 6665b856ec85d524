package feed

import (
	"testing"
	"time"

	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	"pgregory.net/rapid"

	"breakwater.dev/breaker"
	"breakwater.dev/wire"
)

// TestThinningHoldsStill: at any steady rate the share is found at once, and kept; up to
// 100 entries per second are logged, or all, or as sparse as it gets.
func TestThinningHoldsStill(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		calls := rapid.Float64Range(0, 1e6).Draw(t, "rate")
		var x thinning
		x.decide(calls)
		first := x.oneIn
		for range 100 {
			x.decide(calls * (1 + rapid.Float64Range(-0.3, 0.3).Draw(t, "noise")))
			if x.oneIn != first && first < maxOneIn && calls/float64(first) < 75 {
				t.Fatalf("at %v/s one in %d, then one in %d", calls, first, x.oneIn)
			}
		}
		if logged := calls / float64(x.oneIn); logged > 2*wanted && x.oneIn < maxOneIn || logged < wanted/4. && x.oneIn > 1 {
			t.Errorf("at %v/s one in %d is logged: %v/s", calls, x.oneIn, logged)
		}
	})
}

// TestThinningRecovers: when it is quiet again, everything is logged again, in steps.
func TestThinningRecovers(t *testing.T) {
	var x thinning
	x.decide(20_000)
	if x.oneIn != 512 {
		t.Fatalf("one in %d, want 512", x.oneIn)
	}
	for n := range 9 * patience {
		x.decide(1)
		if want := uint32(512 >> ((n + 1) / patience)); x.oneIn != want {
			t.Fatalf("second %d: one in %d, want %d", n, x.oneIn, want)
		}
	}
}

// second has a proxy log so many calls of a second, of each kind.
func (r *rig) second(through, rejected int) {
	calls := make([]*datav3.HTTPAccessLogEntry, 0, through+rejected)
	for range through {
		calls = append(calls, r.logged(route("web", wire.RouteSampled), nil))
	}
	for range rejected {
		calls = append(calls, r.logged(route("web", wire.RouteCounted), nil))
	}
	r.take(calls...)
	r.now = r.now.Add(time.Second)
}

func (r *rig) share(key breaker.Key) (s Share) {
	r.t.Helper()
	for _, s := range r.server.Sample(r.now) {
		if s.Key == key {
			return s
		}
	}
	r.t.Fatalf("no share of %s", key)
	return s
}

// TestSampleFollowsTheBusiestProxy: what one of them can bear, all can.
func TestSampleFollowsTheBusiestProxy(t *testing.T) {
	web := breaker.Key{Upstream: "web"}
	r := newRig(t)
	r.second(40, 90)
	if got, want := r.share(web), (Share{web, 1, 1}); got != want {
		t.Errorf("a quiet proxy: %+v, want %+v", got, want)
	}
	r.worker = newWorker(r.server, r.server.node("two", ""), "")
	r.second(1000, 150)
	if got, want := r.share(web), (Share{web, 32, 4}); got != want {
		t.Errorf("a busy one: %+v, want %+v", got, want)
	}
	if got := r.server.Traffic(web); got < 1150 || got > 1300 {
		t.Errorf("%v calls/s of both, want 1150 and what is left of the other's", got)
	}
	if got := r.server.Traffic(breaker.Key{Upstream: "web", Node: "two"}); got != 1150 {
		t.Errorf("%v calls/s of one, want 1150", got)
	}
	if got := r.server.Traffic(breaker.Key{Upstream: "own"}); got != 0 {
		t.Errorf("%v calls/s of one that has none", got)
	}
}

// TestSharesOfWhatIsGone are forgotten, with the proxies that are.
func TestSharesOfWhatIsGone(t *testing.T) {
	r := newRig(t)
	r.second(10, 0)
	r.share(breaker.Key{Upstream: "web"})
	r.now = r.now.Add(2 * lingering)
	r.server.Sample(r.now)
	if len(r.server.nodes.byID) != 0 {
		t.Errorf("%d proxies are remembered that have no stream", len(r.server.nodes.byID))
	}
	empty := newRig(t)
	r.server.Apply(emptySet, empty.engine)
	if got := r.server.Sample(r.now.Add(time.Second)); len(got) != 0 {
		t.Errorf("shares %+v of no policy", got)
	}
}

// TestTimeline: a call is judged by how its proxy sampled when it began. Where that has just
// changed, it stands for as few as it may, and as many may be unseen; likewise where that is
// not known.
func TestTimeline(t *testing.T) {
	const second = breaker.Instant(time.Second)
	key := breaker.Key{Upstream: "web"}
	var line timeline
	want := func(when breaker.Instant, want sampled) {
		t.Helper()
		if got := line.sampled(when, key); got != want {
			t.Errorf("at %s: %+v, want %+v", time.Duration(when), got, want)
		}
	}
	all, unknown := sampled{1, 1, 1}, sampled{1, 1, maxOneIn}
	want(0, unknown)
	line = line.obey(10*second, every(4))
	line = line.obey(20*second, every(64))
	line = line.obey(30*second, nil)
	line = line.obey(40*second, every(2))
	want(0, unknown)
	want(10*second, sampled{1, 1, maxOneIn})
	want(15*second, sampled{4, 4, 4})
	want(20*second-second/20, sampled{4, 4, 64})
	want(20*second+second/20, sampled{4, 4, 64})
	want(21*second, sampled{64, 64, 64})
	want(30*second-second/20, sampled{1, 1, 64})
	want(35*second, all)
	want(40*second, sampled{1, 1, 2})
	want(41*second, sampled{2, 2, 2})
	// What was to come does not, when the proxy is heard of again.
	line = line.obey(50*second, nil)
	line = line.obey(45*second, every(8))
	want(55*second, sampled{8, 8, 8})
	for i := range 10_000 {
		line = line.obey(breaker.Instant(100+i)*second, every(i))
	}
	if len(line) > 700 {
		t.Errorf("%d changes are remembered", len(line))
	}
}
