package store

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"breakwater.dev/breaker"
)

// The times at which a [Keeper] writes.
const (
	// writeSpacing is the shortest time between two writes. Many transitions within this time need only one write.
	writeSpacing = 100 * time.Millisecond
	// maxRetryWait is the longest wait before a failed write is tried again. The first wait is writeSpacing, and each
	// one is twice as long as the one before it.
	maxRetryWait = 30 * time.Second
	// savePeriod is how often the states are saved without a transition. Some changes come without one: a breaker forgets
	// an opening, a reload changes a breaker's rules, or the wall clock is set.
	savePeriod = time.Minute
)

// Saver saves the states of breakers.
type Saver interface {
	// SaveStates makes the saved states the current ones. It returns the number of bytes that it wrote; 0 if these states were saved
	// already. It is called by one goroutine.
	SaveStates() (written int, err error)
}

// InFile returns a saver that saves the states that export returns in a file.
func InFile(f *File, export func() []breaker.Saved) Saver { return fileSaver{f, export} }

type fileSaver struct {
	file   *File
	export func() []breaker.Saved
}

func (s fileSaver) SaveStates() (int, error) { return s.file.Save(s.export()) }

// Keeper saves the states of breakers in the background: soon after each change, at most every 100 ms, and a last time at
// shutdown.
type Keeper struct {
	saver Saver
	log   *slog.Logger
	wake  chan struct{} // has room for one
	again chan struct{} // has room for one

	failing bool // the last write failed; used only by the goroutine of Run

	mu    sync.Mutex // guards stats
	stats Stats
}

// NewKeeper returns a keeper that saves states by saver, on the goroutine of [Keeper.Run]. The
// keeper logs the first failure of an outage, and the end of the outage.
func NewKeeper(saver Saver, log *slog.Logger) *Keeper {
	return &Keeper{saver: saver, log: log, wake: make(chan struct{}, 1), again: make(chan struct{}, 1)}
}

// Notify makes the keeper save soon, because breakers have changed. It never blocks.
func (k *Keeper) Notify() { signal(k.wake) }

// Again is like Notify, and also ends the wait after a failed save, because the outage of the store is known to be over.
func (k *Keeper) Again() {
	signal(k.again)
	signal(k.wake)
}

// signal wakes the goroutine that waits for a channel with room for one.
func signal(wake chan<- struct{}) {
	select {
	case wake <- struct{}{}:
	default: // it is about to wake already
	}
}

// Run saves until ctx ends, and then once more. The caller must have restored the states of the earlier process before,
// because Run replaces them.
func (k *Keeper) Run(ctx context.Context) {
	for wait(ctx, k.wake, savePeriod) && k.persist(ctx) && wait(ctx, nil, writeSpacing) {
	}
	k.save()
}

// persist tries to save until it succeeds, and reports whether it did before ctx ended.
func (k *Keeper) persist(ctx context.Context) bool {
	for pause := writeSpacing; !k.save(); pause = min(2*pause, maxRetryWait) {
		if !wait(ctx, k.again, pause) {
			return false
		}
	}
	return true
}

// save saves the current states, and reports whether it succeeded.
func (k *Keeper) save() bool {
	written, err := k.saver.SaveStates()
	k.count(written, err)
	switch {
	case err != nil && !k.failing:
		k.log.Warn("breakers cannot be kept: a restart would close open ones early", "error", err.Error())
	case err == nil && k.failing:
		k.log.Info("breakers are kept again")
	}
	k.failing = err != nil
	return err == nil
}

// wait blocks until it gets a value from wake or d has passed. It reports false if ctx has ended.
func wait(ctx context.Context, wake <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-wake:
	case <-timer.C:
	}
	return ctx.Err() == nil
}
