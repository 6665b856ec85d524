package store

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"breakwater.dev/breaker"
)

// shelf is a Saver that remembers when it was used, and does what it is told to.
type shelf struct {
	start time.Time

	mu      sync.Mutex
	failing bool
	full    bool            // it has all there is already
	saves   []time.Duration // since start
	kept    []uint64        // the sequence of the one breaker, each time
}

func (s *shelf) Save(saved []breaker.Saved) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saves = append(s.saves, time.Since(s.start))
	switch {
	case s.failing:
		return 0, errors.New("no space left on device")
	case s.full:
		return 0, nil
	}
	s.kept = append(s.kept, saved[0].Sequence)
	return 10, nil
}

func (s *shelf) become(failing, full bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing, s.full = failing, full
}

// used returns when it was used, and the last that it keeps.
func (s *shelf) used() (saves []time.Duration, kept uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.kept); n > 0 {
		kept = s.kept[n-1]
	}
	return slices.Clone(s.saves), kept
}

// rig is a keeper at work in a bubble, with the state that it is to keep.
type rig struct {
	t      *testing.T
	shelf  *shelf
	keeper *Keeper
	state  atomic.Uint64
	log    bytes.Buffer
	stop   func() // and wait
}

func keeping(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, shelf: &shelf{start: time.Now()}}
	export := func() []breaker.Saved { return []breaker.Saved{{Sequence: r.state.Load()}} }
	r.keeper = NewKeeper(r.shelf, export, slog.New(slog.NewTextHandler(&r.log, nil)))
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { r.keeper.Run(ctx) })
	r.stop = func() { cancel(); running.Wait() }
	synctest.Wait()
	return r
}

// change is a transition.
func (r *rig) change() {
	r.state.Add(1)
	r.keeper.Notify()
	synctest.Wait()
}

// want is when the shelf has been used so far, and what it keeps.
func (r *rig) want(kept uint64, saves ...time.Duration) {
	r.t.Helper()
	synctest.Wait()
	gotSaves, gotKept := r.shelf.used()
	if !slices.Equal(gotSaves, saves) {
		r.t.Errorf("saved at %s, want %s", gotSaves, saves)
	}
	if gotKept != kept {
		r.t.Errorf("kept is %d, want %d", gotKept, kept)
	}
}

const ms = time.Millisecond

// TestKeeperSavesAtOnceWhenIdle, and not before something changed.
func TestKeeperSavesAtOnceWhenIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := keeping(t)
		defer r.stop()
		time.Sleep(10 * time.Second)
		r.want(0)
		r.change()
		r.want(1, 10*time.Second)
		time.Sleep(time.Second)
		r.change()
		r.want(2, 10*time.Second, 11*time.Second)
	})
}

// TestKeeperCoalesces: a flood is one write each 100 ms, and the last of it is not lost.
func TestKeeperCoalesces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := keeping(t)
		defer r.stop()
		for range 834 { // for 250 ms
			r.change()
			time.Sleep(300 * time.Microsecond)
		}
		r.want(667, 0, 100*ms, 200*ms)
		time.Sleep(time.Second)
		r.want(834, 0, 100*ms, 200*ms, 300*ms)
	})
}

// TestKeeperRetries with waits that double to a bound, and begin anew with the next outage.
func TestKeeperRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := keeping(t)
		defer r.stop()
		r.shelf.become(true, false)
		r.change()
		time.Sleep(150 * ms)
		r.change() // does not make it try more often
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		saves, _ := r.shelf.used()
		var gaps []time.Duration
		for i := range len(saves) - 1 {
			gaps = append(gaps, saves[i+1]-saves[i])
		}
		want := []time.Duration{
			100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 6400 * ms, 12800 * ms, 25600 * ms, 30 * time.Second, 30 * time.Second,
		}
		if !slices.Equal(gaps, want) {
			t.Errorf("tried again after %s, want %s", gaps, want)
		}
		if got := r.keeper.Stats(); got != (Stats{Failures: 12}) {
			t.Errorf("stats %+v, want 12 failures", got)
		}

		r.shelf.become(false, false)
		time.Sleep(maxRetryWait)
		synctest.Wait()
		if _, kept := r.shelf.used(); kept != 2 {
			t.Errorf("kept is %d after the outage, want 2", kept)
		}

		r.shelf.become(true, false)
		saves, _ = r.shelf.used()
		r.change()
		time.Sleep(350 * ms)
		synctest.Wait()
		if again, _ := r.shelf.used(); len(again) != len(saves)+3 {
			t.Errorf("tried %d times in the first 350 ms of the next outage, want 3", len(again)-len(saves))
		}
	})
}

// TestKeeperTellsOfAnOutageOnce, and of its end.
func TestKeeperTellsOfAnOutageOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := keeping(t)
		for range 2 {
			r.shelf.become(true, false)
			r.change()
			time.Sleep(10 * time.Second)
			r.shelf.become(false, false)
			time.Sleep(maxRetryWait)
			r.change()
		}
		r.stop()
		var levels []string
		for line := range strings.Lines(r.log.String()) {
			level, text, _ := strings.Cut(line[strings.Index(line, "level="):], " ")
			levels = append(levels, level)
			if level == "level=WARN" {
				wantText(t, text, "breakers cannot be kept", `error="no space left on device"`)
			}
		}
		if want := []string{"level=WARN", "level=INFO", "level=WARN", "level=INFO"}; !slices.Equal(levels, want) {
			t.Errorf("logged %q, want %q", levels, want)
		}
	})
}

// TestKeeperSavesAtShutdown whatever changed last, at once, from any state.
func TestKeeperSavesAtShutdown(t *testing.T) {
	for name, tt := range map[string]struct {
		before func(r *rig)
		saves  []time.Duration
	}{
		"idle":           {func(*rig) {}, []time.Duration{0}},
		"between writes": {func(r *rig) { r.change(); r.change() }, []time.Duration{0, 0}},
		"in an outage": {func(r *rig) {
			r.shelf.become(true, false)
			r.change()
			r.shelf.become(false, false)
		}, []time.Duration{0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := keeping(t)
				tt.before(r)
				r.state.Store(100) // what changed while it stopped, and nobody told
				r.stop()
				r.want(100, tt.saves...)
			})
		})
	}
}

// TestKeeperLooksEachMinute: some changes come without a transition.
func TestKeeperLooksEachMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := keeping(t)
		defer r.stop()
		time.Sleep(30 * time.Second)
		r.state.Store(7)
		time.Sleep(31 * time.Second)
		r.want(7, time.Minute)
	})
}

// TestKeeperStats: a save that had nothing to write is a success, and no write.
func TestKeeperStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := keeping(t)
		defer r.stop()
		if got := r.keeper.Stats(); got != (Stats{}) {
			t.Errorf("at first %+v, want nothing", got)
		}
		r.change()
		time.Sleep(time.Second)
		r.change()
		time.Sleep(time.Second)
		r.shelf.become(false, true)
		r.change()
		want := Stats{Writes: 2, Bytes: 20, LastSuccess: r.shelf.start.Add(2 * time.Second)}
		if got := r.keeper.Stats(); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
}

// TestNotifyNeverBlocks: not without anybody to hear it, and not while a save hangs.
func TestNotifyNeverBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang, calls := make(chan struct{}), 0
		export := func() []breaker.Saved { calls++; <-hang; return nil }
		k := NewKeeper(&shelf{full: true}, export, slog.New(slog.DiscardHandler))
		for range 10 {
			k.Notify()
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { k.Run(ctx) })
		synctest.Wait()
		for range 10 {
			k.Notify()
		}
		if calls != 1 {
			t.Errorf("%d saves hang, want 1", calls)
		}
		close(hang)
		cancel()
		running.Wait()
		if calls != 2 {
			t.Errorf("%d saves in all, want the one that hung and the last", calls)
		}
	})
}

// TestKeeperWithFile: what a keeper keeps is what the next process gets, and what
// did not change is not written.
func TestKeeperWithFile(t *testing.T) {
	dir := t.TempDir()
	f, _, _ := open(t, dir, date)
	synctest.Test(t, func(t *testing.T) {
		k := NewKeeper(f, examples, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { k.Run(ctx) })
		for range 10 {
			k.Notify()
			time.Sleep(time.Second)
		}
		cancel()
		running.Wait()
		if got := k.Stats(); got.Writes != 1 || got.Bytes != uint64(len(read(t, dir, fileName))) {
			t.Errorf("stats %+v, want one write of the file", got)
		}
	})
	closeFile(t, f)
	_, saved, _ := open(t, dir, date)
	same(t, saved, examples())
}
