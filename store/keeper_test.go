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
)

// fakeSaver is a Saver that records its saves.
type fakeSaver struct {
	start time.Time
	state atomic.Uint64 // the current state

	mu      sync.Mutex
	failing bool            // every save fails
	current bool            // every save finds that the states are saved already
	saves   []time.Duration // the times of all saves, since start
	saved   []uint64        // the state in each successful save
}

func (s *fakeSaver) SaveStates() (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saves = append(s.saves, time.Since(s.start))
	switch {
	case s.failing:
		return 0, errors.New("no space left on device")
	case s.current:
		return 0, nil
	}
	s.saved = append(s.saved, s.state.Load())
	return 10, nil
}

// set changes the results of later saves.
func (s *fakeSaver) set(failing, current bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing, s.current = failing, current
}

// history returns the times of all saves, and the state that was saved last.
func (s *fakeSaver) history() (saves []time.Duration, last uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.saved); n > 0 {
		last = s.saved[n-1]
	}
	return slices.Clone(s.saves), last
}

// rig is a running keeper in a bubble of synctest, with a state to save.
type rig struct {
	t      *testing.T
	saver  *fakeSaver
	keeper *Keeper
	log    bytes.Buffer
	stop   func() // ends Run, and waits for that
}

// newRig starts a keeper.
func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, saver: &fakeSaver{start: time.Now()}}
	r.keeper = NewKeeper(r.saver, slog.New(slog.NewTextHandler(&r.log, nil)))
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { r.keeper.Run(ctx) })
	r.stop = func() { cancel(); running.Wait() }
	synctest.Wait()
	return r
}

// change changes the state, and notifies the keeper.
func (r *rig) change() {
	r.saver.state.Add(1)
	r.keeper.Notify()
	synctest.Wait()
}

// want checks the times of all saves so far, and the state that was saved last.
func (r *rig) want(last uint64, saves ...time.Duration) {
	r.t.Helper()
	synctest.Wait()
	gotSaves, gotLast := r.saver.history()
	if !slices.Equal(gotSaves, saves) {
		r.t.Errorf("saved at %s, want %s", gotSaves, saves)
	}
	if gotLast != last {
		r.t.Errorf("the last saved state is %d, want %d", gotLast, last)
	}
}

const ms = time.Millisecond

// TestKeeperSavesAtOnceWhenIdle shows that an idle keeper saves a change at once, and nothing before it.
func TestKeeperSavesAtOnceWhenIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
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

// TestKeeperCoalesces shows that many changes cause one write each 100 ms, and that the last change is saved.
func TestKeeperCoalesces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
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

// TestKeeperRetries shows that the waits between failed writes double up to a limit, and begin again with the next outage.
func TestKeeperRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.stop()
		r.saver.set(true, false)
		r.change()
		time.Sleep(150 * ms)
		r.change() // causes no extra attempt
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		saves, _ := r.saver.history()
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

		r.saver.set(false, false)
		time.Sleep(maxRetryWait)
		synctest.Wait()
		if _, last := r.saver.history(); last != 2 {
			t.Errorf("the last saved state is %d after the outage, want 2", last)
		}

		r.saver.set(true, false)
		saves, _ = r.saver.history()
		r.change()
		time.Sleep(350 * ms)
		synctest.Wait()
		if again, _ := r.saver.history(); len(again) != len(saves)+3 {
			t.Errorf("tried %d times in the first 350 ms of the next outage, want 3", len(again)-len(saves))
		}
	})
}

// TestKeeperLogsAnOutageOnce shows that the beginning and the end of an outage are logged, and nothing in between.
func TestKeeperLogsAnOutageOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for range 2 {
			r.saver.set(true, false)
			r.change()
			time.Sleep(10 * time.Second)
			r.saver.set(false, false)
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
			t.Errorf("the log has the levels %q, want %q", levels, want)
		}
	})
}

// TestKeeperSavesAtShutdown shows that a shutdown saves the latest state at once, in whatever state the keeper is.
func TestKeeperSavesAtShutdown(t *testing.T) {
	for name, tt := range map[string]struct {
		before func(r *rig)
		saves  []time.Duration
	}{
		"idle":           {func(*rig) {}, []time.Duration{0}},
		"between writes": {func(r *rig) { r.change(); r.change() }, []time.Duration{0, 0}},
		"in an outage": {func(r *rig) {
			r.saver.set(true, false)
			r.change()
			r.saver.set(false, false)
		}, []time.Duration{0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				tt.before(r)
				r.saver.state.Store(100) // a change during the shutdown, without a notification
				r.stop()
				r.want(100, tt.saves...)
			})
		})
	}
}

// TestKeeperSavesEachMinute shows that a change without a transition is saved within a minute.
func TestKeeperSavesEachMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.stop()
		time.Sleep(30 * time.Second)
		r.saver.state.Store(7)
		time.Sleep(31 * time.Second)
		r.want(7, time.Minute)
	})
}

// TestKeeperStats shows that a save without a write counts as a success and not as a write.
func TestKeeperStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.stop()
		if got := r.keeper.Stats(); got != (Stats{}) {
			t.Errorf("stats %+v at the start, want zeros", got)
		}
		r.change()
		time.Sleep(time.Second)
		r.change()
		time.Sleep(time.Second)
		r.saver.set(false, true)
		r.change()
		want := Stats{Writes: 2, Bytes: 20, LastSuccess: r.saver.start.Add(2 * time.Second)}
		if got := r.keeper.Stats(); got != want {
			t.Errorf("stats %+v, want %+v", got, want)
		}
	})
}

// TestAgainEndsTheWait shows that a keeper that waits after failed saves saves at once when the outage is known to be over, and that an idle one
// does so too.
func TestAgainEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.stop()
		r.saver.set(true, false)
		r.change()
		time.Sleep(time.Hour)
		r.saver.set(false, false)
		before, _ := r.saver.history()
		r.keeper.Again()
		synctest.Wait()
		if after, last := r.saver.history(); len(after) != len(before)+1 || last != 1 {
			t.Errorf("saved %d times and last the state %d, want one save of the state 1", len(after)-len(before), last)
		}
		time.Sleep(10 * time.Second)
		before, _ = r.saver.history()
		r.keeper.Again()
		synctest.Wait()
		if after, _ := r.saver.history(); len(after) != len(before)+1 {
			t.Errorf("an idle keeper has saved %d times, want once", len(after)-len(before))
		}
	})
}

// saverFunc is a function that is a Saver.
type saverFunc func() (int, error)

func (f saverFunc) SaveStates() (int, error) { return f() }

// TestNotifyNeverBlocks shows that Notify does not block before Run is called, nor while a save hangs.
func TestNotifyNeverBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang, calls := make(chan struct{}), 0
		k := NewKeeper(saverFunc(func() (int, error) { calls++; <-hang; return 0, nil }), slog.New(slog.DiscardHandler))
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
			t.Errorf("%d saves in all, want 2: the one that hung and the last one", calls)
		}
	})
}

// TestKeeperWithFile shows that the next process gets the states that a keeper has saved, and that states that did not change
// are not written again.
func TestKeeperWithFile(t *testing.T) {
	dir := t.TempDir()
	f, _, _ := open(t, dir, date)
	synctest.Test(t, func(t *testing.T) {
		k := NewKeeper(InFile(f, examples), slog.New(slog.DiscardHandler))
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
