package store

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"breakwater.dev/breaker"
)

// When a [Keeper] writes.
const (
	// writeSpacing is the least time between two writes. A flood of transitions is
	// one write in each of them.
	writeSpacing = 100 * time.Millisecond
	// maxRetryWait bounds the wait before a write that failed is tried again. It
	// begins with writeSpacing and doubles.
	maxRetryWait = 30 * time.Second
	// lookEvery finds what no transition tells: that a breaker has forgotten an
	// opening, that a reload changed its semantics, that the wall clock was set.
	lookEvery = time.Minute
)

// Saver is where breakers are kept, such as [File]. Save makes saved what is kept
// and returns how many bytes it wrote; 0 when saved was kept already.
type Saver interface {
	Save(saved []breaker.Saved) (written int, err error)
}

// Keeper has breakers saved in the background: soon after each change, not too
// often, and a last time at shutdown.
type Keeper struct {
	saver  Saver
	export func() []breaker.Saved
	log    *slog.Logger
	woken  chan struct{}

	failing bool // of the goroutine of Run

	mu    sync.Mutex
	stats Stats
}

// NewKeeper returns a keeper that saves what export returns, which it calls on
// the goroutine of [Keeper.Run]. It logs the first failure of an outage, and its end.
func NewKeeper(saver Saver, export func() []breaker.Saved, log *slog.Logger) *Keeper {
	return &Keeper{saver: saver, export: export, log: log, woken: make(chan struct{}, 1)}
}

// Notify says that breakers have changed. It never blocks, and does not write itself.
func (k *Keeper) Notify() {
	select {
	case k.woken <- struct{}{}:
	default: // it is to wake already
	}
}

// Run saves until ctx is over, then once more, and returns. What was kept before
// has to be restored first, or it is lost.
func (k *Keeper) Run(ctx context.Context) {
	for wait(ctx, k.woken, lookEvery) && k.persist(ctx) && wait(ctx, nil, writeSpacing) {
	}
	k.save()
}

// persist saves until it works, and tells whether it did before ctx was over.
func (k *Keeper) persist(ctx context.Context) bool {
	for pause := writeSpacing; !k.save(); pause = min(2*pause, maxRetryWait) {
		if !wait(ctx, nil, pause) {
			return false
		}
	}
	return true
}

// save has the breakers saved as they are, and tells whether that worked.
func (k *Keeper) save() bool {
	written, err := k.saver.Save(k.export())
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

// wait blocks until something wakes it or d has passed, and tells whether ctx
// goes on.
func wait(ctx context.Context, woken <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-woken:
	case <-timer.C:
	}
	return ctx.Err() == nil
}
