package shared

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"breakwater.dev/breaker"
	"breakwater.dev/internal/exposition"
	"breakwater.dev/internal/redistest"
	"breakwater.dev/store/internal/record"
	"breakwater.dev/store/internal/recordtest"
)

// replica is a replica whose engine and ownership a test sets.
type replica struct {
	t      *testing.T
	server *redistest.Server
	store  *Store
	log    *logLines
	keeper *Keeper

	mu     sync.Mutex
	now    record.Anchor
	epoch  uint64
	states map[string]uint64 // generation by upstream, of states that are not plainly closed
	owned  map[string]bool
}

// newReplica returns a replica of epoch 1, which owns the upstreams a and b.
func newReplica(t *testing.T, server *redistest.Server) *replica {
	t.Helper()
	r := &replica{t: t, server: server, epoch: 1, states: map[string]uint64{}, owned: map[string]bool{"a": true, "b": true}, now: recordtest.Date}
	r.store, r.log = open(t, Options{URL: "redis://" + server.Addr})
	r.store.clock = func() (breaker.Instant, time.Time) { return r.clock().Instant, r.clock().Wall }
	r.keeper = NewKeeper(r.store, Replica{ID: "r", Export: r.export, Ownership: r.ownership}, slog.New(slog.NewTextHandler(r.log, nil)))
	return r
}

func (r *replica) clock() record.Anchor {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

// pass lets time pass.
func (r *replica) pass(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = r.now.At(r.now.Instant.Add(d))
}

// set changes what the engine exports, and what is owned. A generation of 0 is a breaker that is plainly closed.
func (r *replica) set(epoch uint64, owned string, generations map[string]uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.epoch, r.owned = epoch, map[string]bool{}
	for _, upstream := range strings.Fields(owned) {
		r.owned[upstream] = true
	}
	r.states = generations
}

func (r *replica) export() (all []breaker.Saved) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for upstream, generation := range r.states {
		all = append(all, state(upstream, 0, generation).Saved)
	}
	return all
}

func (r *replica) ownership() Ownership {
	r.mu.Lock()
	defer r.mu.Unlock()
	owned := maps.Clone(r.owned)
	return Ownership{Epoch: r.epoch, Owns: func(key breaker.Key) bool { return owned[key.Upstream] }}
}

// save saves once, and returns the upstreams whose states were written.
func (r *replica) save() (written []string) {
	r.t.Helper()
	key := func(upstream string) string { return r.store.stateKey(breaker.Key{Upstream: upstream}) }
	const soon = 3_600_000 // a write makes a key live longer
	for _, upstream := range []string{"a", "b", "c"} {
		r.server.Do(r.t, "PEXPIRE", key(upstream), soon)
	}
	if _, err := r.keeper.saver.SaveStates(); err != nil {
		r.t.Fatal(err)
	}
	for _, upstream := range []string{"a", "b", "c"} {
		if r.server.Do(r.t, "PTTL", key(upstream)).(int64) > soon {
			written = append(written, upstream)
		}
	}
	return written
}

// saves saves once, and fails the test unless the states of these upstreams are written, and the store then has these states,
// each as UPSTREAM EPOCH GENERATION.
func (r *replica) saves(why string, written []string, stored ...string) {
	r.t.Helper()
	if got := r.save(); !slices.Equal(got, written) {
		r.t.Errorf("%s: written were %q, want %q", why, got, written)
	}
	if got := r.stored(); !slices.Equal(got, stored) {
		r.t.Errorf("%s: the store has %q, want %q", why, got, stored)
	}
}

func (r *replica) stored() (all []string) {
	r.t.Helper()
	for _, s := range load(r.t, r.store) {
		all = append(all, fmt.Sprint(s.Saved.Key.Upstream, " ", s.Epoch, " ", s.Saved.Generation))
	}
	return all
}

// generations are the generations of the upstreams a, b and c in an export.
type generations = map[string]uint64

// TestKeeperWritesChanges shows that only what has changed is written, and that the state of a breaker is removed when it is plainly closed,
// but not when another replica owns it now.
func TestKeeperWritesChanges(t *testing.T) {
	redistest.Each(t, func(t *testing.T, kind redistest.Kind) {
		r := newReplica(t, redistest.Start(t, kind))
		r.saves("nothing", nil)
		r.set(1, "a b", generations{"a": 1, "b": 1, "c": 1})
		r.saves("first", []string{"a", "b"}, "a 1 1", "b 1 1")
		r.pass(time.Second)
		r.saves("no change", nil, "a 1 1", "b 1 1")
		r.set(1, "a b", generations{"a": 2, "b": 1})
		r.saves("a changes", []string{"a"}, "a 1 2", "b 1 1")
		r.set(2, "a b", generations{"a": 2, "b": 1})
		r.saves("another epoch", nil, "a 1 2", "b 1 1")
		r.set(3, "b", generations{"b": 1})
		r.saves("a has another owner", nil, "a 1 2", "b 1 1")
		r.set(3, "b", generations{})
		r.saves("b closes", nil, "a 1 2")
		r.set(4, "a b", generations{})
		r.saves("a is owned again, and was not taken up from here", nil, "a 1 2")
		if r.log.String() != "" {
			t.Errorf("the log has %s", r.log)
		}
	})
}

// TestKeeperRemovesWhatTheEngineRefused shows that a state that the engine has taken up and does not export is removed.
func TestKeeperRemovesWhatTheEngineRefused(t *testing.T) {
	redistest.Each(t, func(t *testing.T, kind redistest.Kind) {
		r := newReplica(t, redistest.Start(t, kind))
		write(t, r.store, state("a", 1, 7), true)
		write(t, r.store, state("b", 1, 7), true)
		write(t, r.store, state("c", 1, 7), true)
		r.set(2, "a b", generations{"b": 7})
		r.keeper.Taken(load(t, r.store))
		r.saves("taken", []string{"b"}, "b 2 7", "c 1 7")
	})
}

// TestStaleKeeperIsFenced shows that an owner that does not know yet that it is none changes nothing, and says so once.
func TestStaleKeeperIsFenced(t *testing.T) {
	redistest.Each(t, func(t *testing.T, kind redistest.Kind) {
		r := newReplica(t, redistest.Start(t, kind))
		r.set(1, "a b", generations{"a": 5, "b": 5})
		r.saves("owner", []string{"a", "b"}, "a 1 5", "b 1 5")
		write(t, r.store, state("a", 2, 1), true)
		write(t, r.store, state("b", 2, 1), true)
		r.set(1, "a b", generations{"a": 6})
		r.saves("stale", nil, "a 2 1", "b 2 1")
		r.saves("stale again", nil, "a 2 1", "b 2 1")
		if n := strings.Count(r.log.String(), "because another replica has written newer ones"); n != 2 { // one for writing, one for removing
			t.Errorf("the log has it %d times, want 2:\n%s", n, r.log)
		}
		if got := exposition.Samples(t, r.store); !strings.Contains(got, "breakwater_store_fenced_writes_total 2\n") {
			t.Errorf("the metrics are\n%s", got)
		}
	})
}

// TestKeeperRefreshes shows that everything is written again every five minutes.
func TestKeeperRefreshes(t *testing.T) {
	redistest.Each(t, func(t *testing.T, kind redistest.Kind) {
		r := newReplica(t, redistest.Start(t, kind))
		r.set(1, "a b", generations{"a": 1, "b": 1})
		r.saves("first", []string{"a", "b"}, "a 1 1", "b 1 1")
		r.pass(refreshPeriod - time.Second)
		r.saves("before", nil, "a 1 1", "b 1 1")
		r.pass(time.Second)
		r.saves("after", []string{"a", "b"}, "a 1 1", "b 1 1")
		r.saves("again", nil, "a 1 1", "b 1 1")
	})
}

// TestViewChangesDuringExport shows that a state that was exported in one epoch is not written as a state of another one.
func TestViewChangesDuringExport(t *testing.T) {
	redistest.Each(t, func(t *testing.T, kind redistest.Kind) {
		r := newReplica(t, redistest.Start(t, kind))
		r.set(1, "a", generations{"a": 1})
		exports := 0
		r.keeper.saver.replica.Export = func() []breaker.Saved {
			all := r.export()
			if exports++; exports == 1 {
				r.set(2, "a b", generations{"a": 3, "b": 4})
			}
			return all
		}
		r.saves("changed", []string{"a", "b"}, "a 2 3", "b 2 4")
	})
}

// TestRule10OpenStaysOpenForTheNextOwner shows that the next owner of an open breaker, on a host whose clocks are others, keeps it open for the rest
// of its wait.
func TestRule10OpenStaysOpenForTheNextOwner(t *testing.T) {
	redistest.Each(t, func(t *testing.T, kind redistest.Kind) {
		key := breaker.Key{Upstream: "a"}
		engineAt := func(now breaker.Instant) *breaker.Engine {
			e := breaker.NewEngine(breaker.Options{})
			e.Apply([]breaker.Spec{{Key: key, Config: breaker.DefaultConfig(), Lease: time.Second}}, now)
			return e
		}
		first := newReplica(t, redistest.Start(t, kind))
		engine := engineAt(first.clock().Instant)
		for range 5 {
			p, _ := engine.Acquire(key, first.clock().Instant)
			p.Done(breaker.Failure, first.clock().Instant)
		}
		first.pass(10 * time.Second)
		first.keeper.saver.replica.Export = func() []breaker.Saved { return engine.Export(first.clock().Instant) }
		if written := first.save(); !slices.Equal(written, []string{"a"}) {
			t.Fatalf("written were %q", written)
		}

		next, _ := open(t, Options{URL: "redis://" + first.server.Addr})
		now := breaker.Instant(42 * time.Hour)
		next.clock = stopped(record.Anchor{Instant: now, Wall: time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)})
		engine = engineAt(now)
		stored := load(t, next)
		if restored, lost := engine.Restore([]breaker.Saved{stored[0].Saved}, 0, now); len(restored) != 1 || len(lost) != 0 {
			t.Fatalf("restored %v, lost %v", restored, lost)
		}
		s := engine.Snapshot(now)[0]
		if s.State != breaker.Open || s.RetryAfter > 20*time.Second || s.RetryAfter < 5*time.Second { // less by the time that the test took
			t.Errorf("%s for another %s, want open for at most 20 s", s.State, s.RetryAfter)
		}
	})
}

// run runs the keeper until the test ends.
func (r *replica) run() {
	ctx, cancel := context.WithCancel(r.t.Context())
	var running sync.WaitGroup
	running.Go(func() { r.keeper.Run(ctx) })
	r.t.Cleanup(func() { cancel(); running.Wait() })
}

// TestEmptiedStoreIsFilled shows that everything is written again as soon as a beat finds that the store was emptied, without a change
// of any breaker.
func TestEmptiedStoreIsFilled(t *testing.T) {
	redistest.Each(t, func(t *testing.T, kind redistest.Kind) {
		r := newReplica(t, redistest.Start(t, kind))
		r.set(1, "a b", generations{"a": 1, "b": 1})
		beat(t, r.store, "r", time.Minute)
		r.run()
		r.keeper.Notify()
		full := func() bool { return slices.Equal(r.stored(), []string{"a 1 1", "b 1 1"}) }
		redistest.Wait(t, "the states", full)
		r.server.Do(t, "FLUSHALL")
		beat(t, r.store, "r", time.Minute)
		redistest.Wait(t, "the states again", full)
	})
}

// TestOutageIsMadeGood shows that everything is written again soon after an outage in which the store has forgotten everything, and
// that the log has the outage once.
func TestOutageIsMadeGood(t *testing.T) {
	redistest.Each(t, func(t *testing.T, kind redistest.Kind) {
		r := newReplica(t, redistest.Start(t, kind))
		r.set(1, "a b", generations{"a": 1, "b": 1})
		r.run()
		r.keeper.Notify()
		redistest.Wait(t, "the states", func() bool { return len(r.stored()) == 2 })
		r.server.Kill(t)
		r.set(1, "a b", generations{"a": 2, "b": 1})
		r.keeper.Notify()
		redistest.Wait(t, "failures", func() bool { return r.keeper.Stats().Failures > 3 })
		r.server.Restart(t)
		redistest.Wait(t, "a beat to succeed", func() bool {
			_, err := r.store.Beat(t.Context(), member("r"), time.Minute)
			return err == nil
		})
		redistest.Wait(t, "the states again", func() bool { return slices.Equal(r.stored(), []string{"a 1 2", "b 1 1"}) })
		redistest.Wait(t, "the end in the log", func() bool { return strings.Contains(r.log.String(), "breakers are kept again") })
		if n := strings.Count(r.log.String(), "breakers cannot be kept"); n != 1 {
			t.Errorf("the log has the outage %d times:\n%s", n, r.log)
		}
	})
}

// TestNotifyDoesNotWait shows that a keeper does not block its callers while the store is frozen.
func TestNotifyDoesNotWait(t *testing.T) {
	redistest.Each(t, func(t *testing.T, kind redistest.Kind) {
		r := newReplica(t, redistest.Start(t, kind))
		r.set(1, "a b", generations{"a": 1, "b": 1})
		r.server.Freeze(t)
		r.run()
		begin := time.Now()
		for range 1000 {
			r.keeper.Notify()
			r.keeper.Again()
			r.keeper.Taken(nil)
		}
		if took := time.Since(begin); took > timeLimit {
			t.Errorf("3000 calls took %s, longer than one call of the store", took)
		}
		redistest.Wait(t, "a failure", func() bool { return r.keeper.Stats().Failures > 0 })
		r.server.Thaw(t)
		redistest.Wait(t, "the states", func() bool { return r.keeper.Stats().Writes > 0 })
	})
}

// TestMetrics shows the metrics of a store.
func TestMetrics(t *testing.T) {
	with(t, func(t *testing.T, server *redistest.Server, s *Store) {
		want := func(when string, lines ...string) {
			t.Helper()
			got := exposition.Samples(t, s)
			for _, line := range lines {
				if !strings.Contains(got, line+"\n") {
					t.Errorf("%s: %q is not in\n%s", when, line, got)
				}
			}
		}
		want("before", "breakwater_store_reachable 0", `breakwater_store_errors_total{operation="load"} 0`, "breakwater_store_fenced_writes_total 0")
		beat(t, s, "a", time.Minute)
		want("after a beat", "breakwater_store_reachable 1", `breakwater_store_errors_total{operation="beat"} 0`)
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Beat(cancelled, member("a"), time.Minute); err == nil {
			t.Error("a beat succeeds after it was cancelled")
		}
		want("after a beat that was cancelled", "breakwater_store_reachable 1", `breakwater_store_errors_total{operation="beat"} 0`)
		server.Kill(t)
		if _, err := s.Load(t.Context()); err == nil {
			t.Error("states are loaded without a server")
		}
		want("without a server", "breakwater_store_reachable 0", `breakwater_store_errors_total{operation="load"} 1`)
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(s, NewKeeper(s, Replica{}, slog.New(slog.DiscardHandler)))
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		if problems, err := promlint.NewWithMetricFamilies(families).Lint(); err != nil || len(problems) > 0 {
			t.Errorf("promlint: %v, error %v", problems, err)
		}
	})
}
