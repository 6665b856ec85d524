package suspects

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"breakwater.dev/breaker"
)

var web = breaker.Key{Upstream: "web"}

// decider is a breaker that notes the reports that it gets.
type decider struct {
	breaker.Decider
	mu       sync.Mutex
	reports  [][]breaker.Reported
	status   breaker.Status
	removed  bool
	reported int
}

func newDecider() *decider {
	c := breaker.DefaultConfig()
	return &decider{status: breaker.Status{State: breaker.Closed, Config: &c}}
}

func (d *decider) Report(_ breaker.Subject, outcomes []breaker.Reported, _ breaker.Instant) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reported += len(outcomes)
	if len(outcomes) > 0 {
		d.reports = append(d.reports, slices.Clone(outcomes))
	}
}

func (d *decider) Status(breaker.Key, breaker.Instant) (breaker.Status, bool) {
	return d.status, !d.removed
}

func (*decider) Acquire(context.Context, breaker.Subject, bool, breaker.Instant) (breaker.Lease, breaker.Decision) {
	panic("a suspect admits no calls")
}

// proxy logs all calls since an instant; never: it samples them.
type proxy struct{ since breaker.Instant }

func (p *proxy) ExactSince(now breaker.Instant, _ breaker.Key) (breaker.Instant, bool) {
	return p.since, p.since <= now
}

const (
	ms    = breaker.Instant(time.Millisecond)
	start = 1_000 * ms
)

// failure is a failed call that ended at an instant.
func failure(at breaker.Instant) breaker.Reported {
	return breaker.Reported{Outcome: breaker.Failure, At: at, OneIn: 16}
}

// hold has outcomes wait, and fails the test if the suspect does not take them.
func hold(t *testing.T, x *Suspect, outcomes ...breaker.Reported) {
	t.Helper()
	if !x.Hold(outcomes) {
		t.Fatal("the outcomes were not taken")
	}
}

// TestOutcomesWaitForEachOther: outcomes of a proxy are reported when the other proxies must have sent theirs, and not before.
func TestOutcomesWaitForEachOther(t *testing.T) {
	d, x := newDecider(), New(breaker.Subject{Key: web}, 16, start)
	hold(t, x, failure(start), failure(start+20*ms), failure(start+40*ms))
	x.Settle(d, start+45*ms)
	hold(t, x, breaker.Reported{Outcome: breaker.Success, At: start + 10*ms, OneIn: 1})
	x.Settle(d, start+49*ms) // too soon after the last time
	x.Settle(d, start+60*ms)
	x.Settle(d, start+64*ms) // as well
	x.Settle(d, start+85*ms)
	var ended [][]breaker.Instant
	for _, r := range d.reports {
		var at []breaker.Instant
		for _, o := range r {
			at = append(at, o.At-start)
		}
		slices.Sort(at)
		ended = append(ended, at)
	}
	if want := [][]breaker.Instant{{0}, {10 * ms, 20 * ms}}; !slices.EqualFunc(ended, want, slices.Equal) {
		t.Errorf("reported %v, want %v", ended, want)
	}
	x.Close(d, start+86*ms)
	if d.reported != 4 {
		t.Errorf("%d outcomes are reported at the end, want 4", d.reported)
	}
	if x.Hold([]breaker.Reported{failure(start)}) {
		t.Error("outcomes were taken after the end")
	}
}

// TestCertain: no success can have gone unseen before a failure when all proxies log all calls, their workers too, and calls from
// before have ended.
func TestCertain(t *testing.T) {
	const longest = 30 * time.Millisecond
	for name, tt := range map[string]struct {
		others []breaker.Instant // since when the other proxies log all calls
		ended  breaker.Instant
		want   uint32
	}{
		"all calls are logged":             {[]breaker.Instant{start + 5*ms, start + 20*ms}, start + 60*ms, 1},
		"a call from before may have gone": {[]breaker.Instant{start + 5*ms, start + 20*ms}, start + 60*ms - 1, 16},
		"one proxy samples":                {[]breaker.Instant{start, never}, start + 900*ms, 16},
		"the only proxy":                   {nil, start + 40*ms, 1},
	} {
		d, x := newDecider(), New(breaker.Subject{Key: web}, 16, start)
		x.Watch(&proxy{start}, longest)
		for _, since := range tt.others {
			x.Watch(&proxy{since}, time.Millisecond)
		}
		hold(t, x, failure(tt.ended))
		x.Settle(d, start+1_000*ms)
		if len(d.reports) != 1 || d.reports[0][0].OneIn != tt.want {
			t.Errorf("%s: %+v, want one failure in a sample of one in %d", name, d.reports, tt.want)
		}
	}
}

// TestSuccessesKeepTheirWeight, whatever is known of failures.
func TestSuccessesKeepTheirWeight(t *testing.T) {
	d, x := newDecider(), New(breaker.Subject{Key: web}, 16, start)
	x.Watch(&proxy{start}, 0)
	hold(t, x, breaker.Reported{Outcome: breaker.Success, At: start + 50*ms, OneIn: 16}, breaker.Reported{Outcome: breaker.Ignored, At: start + 51*ms, OneIn: 4})
	x.Settle(d, start+500*ms)
	if got := d.reports[0]; got[0].OneIn != 16 || got[1].OneIn != 4 {
		t.Errorf("reported %+v, want one in 16, and one in 4", got)
	}
}

// TestLateProxyIsAskedAgain: a proxy that samples still is asked each time, and one that does not is not.
func TestLateProxyIsAskedAgain(t *testing.T) {
	d, x := newDecider(), New(breaker.Subject{Key: web}, 16, start)
	late, early := &proxy{never}, &proxy{start}
	x.Watch(late, 0)
	x.Watch(early, 0)
	hold(t, x, failure(start+20*ms))
	x.Settle(d, start+100*ms)
	early.since, late.since = never, start+90*ms
	hold(t, x, failure(start+105*ms))
	x.Settle(d, start+200*ms)
	if got := []uint32{d.reports[0][0].OneIn, d.reports[1][0].OneIn}; !slices.Equal(got, []uint32{16, 1}) {
		t.Errorf("samples of one in %v, want 16 and then 1", got)
	}
}

// TestTooManyOutcomes do not wait.
func TestTooManyOutcomes(t *testing.T) {
	d, x := newDecider(), New(breaker.Subject{Key: web}, 16, start)
	hold(t, x, slices.Repeat([]breaker.Reported{failure(start)}, maxWaiting+1)...)
	x.Settle(d, start)
	if d.reported != maxWaiting+1 {
		t.Errorf("%d outcomes are reported, want all", d.reported)
	}
}

// TestAlert: it goes on while the run is suspicious, and ends when the breaker has tripped or has left the policy.
func TestAlert(t *testing.T) {
	suspicious := breaker.WindowCounts{Calls: 1_000, Failures: 20, Run: 20}
	for name, tt := range map[string]struct {
		change func(*decider)
		over   time.Duration // after the start
	}{
		"calm":              {func(*decider) {}, 10 * time.Second},
		"suspicious":        {func(d *decider) { d.status.Window = suspicious }, 15 * time.Second},
		"no rule about it":  {func(d *decider) { d.status.Window, d.status.Config.ConsecutiveFailures = suspicious, 0 }, 10 * time.Second},
		"it has tripped":    {func(d *decider) { d.status.State = breaker.Open }, 5 * time.Second},
		"it left the rules": {func(d *decider) { d.removed = true }, 5 * time.Second},
	} {
		d, x := newDecider(), New(breaker.Subject{Key: web}, 16, start)
		tt.change(d)
		var l List
		l.Add(x)
		x.Settle(d, start.Add(5*time.Second))
		over := start.Add(tt.over)
		if got := l.Remove(over-1, false); len(got) > 0 && tt.over > 5*time.Second {
			t.Errorf("%s: it is over too soon", name)
		}
		l.Remove(over, false)
		if len(l.All()) > 0 {
			t.Errorf("%s: it is not over after %s", name, tt.over)
		}
	}
}

// TestList: proxies log all calls of a breaker while it is a suspect, or the breaker of one of its proxies.
func TestList(t *testing.T) {
	var l List
	if len(l.All()) > 0 || len(l.Keys()) > 0 || len(l.Remove(start, true)) > 0 {
		t.Error("an empty list has suspects")
	}
	for _, key := range []breaker.Key{{Upstream: "web", Node: "one"}, {Upstream: "web", Node: "two"}, {Upstream: "db"}} {
		l.Add(New(breaker.Subject{Key: key}, 2, start))
	}
	if keys := l.Keys(); len(l.All()) != 3 || len(keys) != 2 || !keys[web] || !keys[breaker.Key{Upstream: "db"}] {
		t.Errorf("%d suspects of %v, want 3 of web and db", len(l.All()), keys)
	}
	if removed := l.Remove(start, true); len(removed) != 3 || len(l.All()) != 0 {
		t.Errorf("%d removed and %d left, want all removed", len(removed), len(l.All()))
	}
}

// TestEachOutcomeIsReportedOnce, in the order of their ends as far as they wait, whatever comes when, and from however many
// proxies.
func TestEachOutcomeIsReportedOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, x := newDecider(), New(breaker.Subject{Key: web}, 16, start)
		x.Watch(&proxy{start.Add(time.Duration(rapid.IntRange(0, 300).Draw(t, "exact")) * time.Millisecond)}, 0)
		now, total := start, 0
		for range rapid.IntRange(1, 60).Draw(t, "messages") {
			now = now.Add(time.Duration(rapid.IntRange(0, 30).Draw(t, "pause")) * time.Millisecond)
			n := rapid.IntRange(0, 5).Draw(t, "entries")
			for range n {
				ago := time.Duration(rapid.IntRange(0, 59).Draw(t, "ago")) * time.Millisecond
				if !x.Hold([]breaker.Reported{failure(now.Add(-ago))}) {
					t.Fatal("the outcome was not taken")
				}
			}
			total += n
			x.Settle(d, now)
		}
		x.Close(d, now)
		newest := breaker.Instant(0)
		for _, r := range d.reports {
			first := slices.MinFunc(r, func(a, b breaker.Reported) int { return int(a.At - b.At) })
			if first.At < newest {
				t.Fatalf("an outcome from %s is reported after one from %s", time.Duration(first.At-start), time.Duration(newest-start))
			}
			newest = slices.MaxFunc(r, func(a, b breaker.Reported) int { return int(a.At - b.At) }).At
		}
		if d.reported != total {
			t.Errorf("%d outcomes are reported, want %d", d.reported, total)
		}
	})
}

// TestManyStreams: no outcome is lost or reported twice when many goroutines hold, settle and close.
func TestManyStreams(t *testing.T) {
	d, x := newDecider(), New(breaker.Subject{Key: web}, 16, start)
	const streams, each = 8, 500
	var running sync.WaitGroup
	for range streams {
		running.Go(func() {
			for i := range breaker.Instant(each) {
				now := start + i*ms
				if one := []breaker.Reported{failure(now)}; x.Hold(one) {
					x.Settle(d, now)
				} else {
					d.Report(breaker.Subject{Key: web}, one, now)
				}
			}
		})
	}
	running.Go(func() { x.Close(d, start+each*ms) })
	running.Wait()
	if d.reported != streams*each {
		t.Errorf("%d outcomes are reported, want %d", d.reported, streams*each)
	}
}
