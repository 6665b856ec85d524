package inprocess

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"breakwater.dev/sources/files"
)

// Run reloads the policy when its files change, makes transitions when they are due, and
// calls the functions in [Options]. When ctx ends, it delivers the remaining transitions
// and returns nil. It can be run again later. It returns an error if it is running already,
// or if the kernel does not report changed files; the registry can be used without it.
func (r *Registry) Run(ctx context.Context) error {
	if !r.running.TryLock() {
		return errors.New("the registry of breakers is running already")
	}
	defer r.running.Unlock()
	// The driver stops after the watch, because a last reload may make transitions.
	listening, stop := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { r.driver.Run(listening) })
	// The files may have changed since they were loaded, so the watch begins with a reload.
	err := files.Watch(ctx, r.paths, files.WatchOptions{}, r.refresh, r.refresh)
	stop()
	running.Wait()
	return err
}

// refresh loads changed files, and reports their problems to OnError or to the log.
func (r *Registry) refresh() {
	diagnostics := r.load()
	if len(diagnostics) > 0 && r.options.OnError != nil {
		r.options.OnError(diagnostics)
		return
	}
	for _, d := range diagnostics {
		slog.Error("breaker policy refused; the old one stays in force", "problem", d.String())
	}
}
