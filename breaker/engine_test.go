package breaker

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func spec(upstream string, cfg Config) Spec {
	return Spec{Key: Key{Upstream: upstream}, Config: cfg, Lease: time.Second}
}

func keys(upstreams ...string) []Key {
	var ks []Key
	for _, u := range upstreams {
		ks = append(ks, Key{Upstream: u})
	}
	return ks
}

func TestApplySaysWhatItDid(t *testing.T) {
	e := NewEngine(Options{})
	one, two := runRule(1), runRule(2)
	for i, step := range []struct {
		specs []Spec
		want  Changes
	}{
		{[]Spec{spec("b", one), spec("a", one)}, Changes{Added: keys("b", "a")}},
		{[]Spec{spec("a", one), spec("b", one)}, Changes{}},
		{[]Spec{spec("a", two), spec("c", one), spec("b", one)}, Changes{Added: keys("c"), Restarted: keys("a")}},
		{[]Spec{spec("b", one), spec("a", two)}, Changes{Removed: keys("c")}},
		{nil, Changes{Removed: keys("a", "b")}},
		{[]Spec{spec("a", two)}, Changes{Added: keys("a")}},
	} {
		got := e.Apply(step.specs, epoch)
		slices.SortFunc(got.Removed, func(a, b Key) int { return strings.Compare(a.Upstream, b.Upstream) })
		if fmt.Sprint(got) != fmt.Sprint(step.want) {
			t.Errorf("step %d: changes %+v, want %+v", i, got, step.want)
		}
		var order []Key
		for _, s := range e.Snapshot(epoch) {
			order = append(order, s.Key)
		}
		var want []Key
		for _, s := range step.specs {
			want = append(want, s.Key)
		}
		if !slices.Equal(order, want) {
			t.Errorf("step %d: breakers %v, want %v", i, order, want)
		}
	}
}

// TestRule8ReloadKeepsTheState: equal semantics keep the state, its wait, its
// window and its permits, whatever the lease.
func TestRule8ReloadKeepsTheState(t *testing.T) {
	r := openRig(t, DefaultConfig())
	cfg := *r.status().Config
	before := r.status()
	if got := r.engine.Apply([]Spec{{Key: keyA, Config: cfg, Lease: time.Hour}}, r.now); len(got.Added)+len(got.Removed)+len(got.Restarted) > 0 {
		t.Errorf("changes %+v, want none", got)
	}
	if got := r.status(); flat(got) != flat(before) {
		t.Errorf("status %+v, want %+v as before", got, before)
	}
	r.after(30 * time.Second)
	r.wantState(HalfOpen, 2)
	probe := r.admit()
	r.apply(cfg)
	if got := r.status().ProbesInFlight; got != 1 {
		t.Errorf("%d probes in flight after a reload, want 1", got)
	}
	probe.Done(Failure, r.now)
	r.want(Edge{HalfOpen, Open, ProbeFailed})
}

func TestRule8ReloadKeepsTheWindow(t *testing.T) {
	cfg := rateRule(5_000, 4)
	r := newRig(t, cfg)
	r.call(Failure, Failure, Failure)
	r.apply(cfg)
	r.call(Failure)
	r.want(Edge{Closed, Open, FailureRate})
}

// TestReloadOfWhatIsNoSemantics: it restarts nothing, and is in force from then on.
func TestReloadOfWhatIsNoSemantics(t *testing.T) {
	r := newRig(t, runRule(2))
	r.call(Failure)
	got := r.engine.Apply([]Spec{{Key: keyA, Config: runRule(2), Lease: time.Hour, Timeout: time.Second, ClientGone: GoneFailure}}, r.now)
	if len(got.Restarted) > 0 || r.status().Window.Run != 1 {
		t.Errorf("restarted %v with window %+v, want that the run goes on", got.Restarted, r.status().Window)
	}
	if gone := r.engine.Breaker(keyA).policy().gone; gone != GoneFailure {
		t.Errorf("a call whose caller left is %s, want Failure", gone)
	}
}

// TestReloadedLeaseIsForNewPermits: a permit keeps the deadline that it was given.
func TestReloadedLeaseIsForNewPermits(t *testing.T) {
	r := halfOpenRig(t, 2, 2)
	r.admit() // for 20 s
	r.engine.Apply([]Spec{{Key: keyA, Config: *r.status().Config, Lease: time.Second}}, r.now)
	r.admit()
	r.after(time.Second)
	if got := r.status().ProbesInFlight; got != 1 {
		t.Errorf("%d probes in flight, want 1", got)
	}
}

// TestRule8ChangedSemanticsRestart: the breaker is closed, in a new generation, says
// so where the state changed, and keeps its totals.
func TestRule8ChangedSemanticsRestart(t *testing.T) {
	for _, from := range []State{Closed, Open, HalfOpen} {
		t.Run(from.String(), func(t *testing.T) {
			cfg := runRule(2)
			r := newRig(t, cfg)
			late := r.admit()
			r.call(Failure)
			if from != Closed {
				r.call(Failure)
			}
			if from == HalfOpen {
				r.after(cfg.WaitDurationInOpenState)
				late = r.admit()
			}
			before, said := r.status(), len(r.transitions)
			r.after(time.Second)
			cfg.WaitDurationInOpenState = time.Minute
			if got := r.apply(cfg); !slices.Equal(got.Restarted, []Key{keyA}) {
				t.Errorf("changes %+v, want a restart", got)
			}
			want := Status{Key: keyA, Config: &cfg, Admits: Whole, InFlight: before.InFlight, Sequence: before.Sequence + min(uint64(from), 1), Episode: before.Episode, Generation: before.Generation + 1, Since: r.now, Counts: before.Counts, LastFailure: before.LastFailure}
			if got := r.status(); flat(got) != flat(want) {
				t.Errorf("status\n%+v, want\n%+v", got, want)
			}
			if from == Closed {
				r.wantState(Closed, said)
			} else if tr := r.want(Edge{from, Closed, PolicyChanged}); tr.Since != before.Since || tr.Generation != want.Generation {
				t.Errorf("transition %+v, want generation %d and since %d", tr, want.Generation, before.Since)
			}
			late.Done(Failure, r.now)
			if got := r.status().Window; got != (WindowCounts{}) {
				t.Errorf("window %+v after a late failure, want none", got)
			}
			if _, due := r.engine.Advance(r.now); due {
				t.Error("a timer of the old semantics is still running")
			}
		})
	}
}

// TestRestartNeverGoesBackInTime: the breaker may have changed between the moment
// Apply's caller read the clock and now.
func TestRestartNeverGoesBackInTime(t *testing.T) {
	r := openRig(t, DefaultConfig())
	opened := r.now
	r.after(-time.Millisecond)
	r.apply(runRule(7))
	if tr := r.want(Edge{Open, Closed, PolicyChanged}); tr.At != opened || tr.Since != opened {
		t.Errorf("open from %d to %d, want both %d", tr.Since, tr.At, opened)
	}
}

func TestRemovedBreakerIsSilent(t *testing.T) {
	r := newRig(t, runRule(1))
	b := r.engine.Breaker(keyA)
	permit := r.admit()
	r.engine.Apply(nil, r.now)
	permit.Done(Failure, r.now)
	if got := b.Status(r.now); got.State != Open || got.Counts.Failures != 1 {
		t.Errorf("state %s with %d failures, want that the handle still works", got.State, got.Counts.Failures)
	}
	if len(r.transitions) > 0 {
		t.Errorf("transitions %v of a breaker that is gone", r.transitions)
	}
	if got := r.engine.Breaker(keyA); got != nil {
		t.Errorf("the engine still has %v", got.key())
	}
	r.apply(runRule(1))
	r.call(Failure)
	if tr := r.want(Edge{Closed, Open, ConsecutiveFailures}); tr.Sequence != 1 {
		t.Errorf("sequence %d of a new breaker, want 1", tr.Sequence)
	}
}

func TestUnknownKeyIsAdmitted(t *testing.T) {
	e := NewEngine(Options{})
	p, d := e.Acquire(keyA, epoch)
	if want := (Decision{Admitted: true, State: Closed}); d != want {
		t.Errorf("decision %+v, want %+v", d, want)
	}
	p.Done(Failure, epoch)
	if next, ok := e.Advance(epoch); ok {
		t.Errorf("an engine without breakers waits until %d", next)
	}
}

// TestEngineWithoutListener: states change all the same.
func TestEngineWithoutListener(t *testing.T) {
	e := NewEngine(Options{})
	e.Apply([]Spec{spec("a", runRule(1))}, epoch)
	p, _ := e.Acquire(keyA, epoch)
	p.Done(Failure, epoch)
	if got := e.Breaker(keyA).Status(epoch).State; got != Open {
		t.Errorf("state %s, want open", got)
	}
}

// TestAdvanceReturnsTheEarliest: it returns the earliest of the instants that are due.
func TestAdvanceReturnsTheEarliest(t *testing.T) {
	e := NewEngine(Options{})
	waits := []time.Duration{3 * time.Second, time.Second, 2 * time.Second}
	var specs []Spec
	for i, wait := range waits {
		cfg := runRule(1)
		cfg.WaitDurationInOpenState, cfg.MaxWaitDurationInHalfOpenState = wait, 10*time.Second
		specs = append(specs, spec(fmt.Sprint(i), cfg))
	}
	e.Apply(append(specs, spec("idle", runRule(1))), epoch)
	for _, s := range specs {
		p, _ := e.Acquire(s.Key, epoch)
		p.Done(Failure, epoch)
	}
	for _, tt := range []struct{ now, next time.Duration }{
		{0, time.Second}, {time.Second, 2 * time.Second}, {2 * time.Second, 3 * time.Second}, {3 * time.Second, 11 * time.Second},
	} {
		if next, ok := e.Advance(epoch.Add(tt.now)); !ok || next != epoch.Add(tt.next) {
			t.Errorf("at %s next is %s, %t; want %s", tt.now, next.Sub(epoch), ok, tt.next)
		}
	}
	for _, s := range e.Snapshot(epoch.Add(3 * time.Second))[:3] {
		if s.State != HalfOpen {
			t.Errorf("%s is %s, want half_open", s.Key, s.State)
		}
	}
}

// TestEdgesAreAllThereAre: no two are equal, and only operators and restarts lead back to
// the state that they began in.
func TestEdgesAreAllThereAre(t *testing.T) {
	seen := map[Edge]bool{}
	reasons := map[Reason]bool{}
	for _, e := range Edges() {
		if seen[e] || e.From == e.To && e.Reason.ByRule() {
			t.Errorf("edge %v is there twice or goes nowhere", e)
		}
		seen[e], reasons[e.Reason] = true, true
	}
	if len(reasons) != int(Restored)+1 {
		t.Errorf("%d reasons have an edge, want all %d", len(reasons), Restored+1)
	}
}

// TestDocShowsTheExample: the loop in the package's documentation is part of an example that runs.
func TestDocShowsTheExample(t *testing.T) {
	trimmed := func(file, begin string) string {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		for line := range strings.Lines(string(data)) {
			if line, ok := strings.CutPrefix(line, begin); ok {
				text.WriteString(strings.TrimSpace(line) + "\n")
			}
		}
		return text.String()
	}
	loop := trimmed("doc.go", "//\t")
	if !strings.HasPrefix(loop, "for ctx.Err() == nil {\n") || !strings.Contains(trimmed("example_test.go", ""), loop) {
		t.Errorf("the example does not have this loop of the documentation:\n%s", loop)
	}
}
