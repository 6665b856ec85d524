package inprocess

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"breakwater.dev/sources/files"
)

// Run reloads the policy when its files change, changes breakers when their time has
// come, and calls what [Options] has, until ctx is over; it returns nil then, when all
// transitions of before have been delivered. It can be run again later. The error is
// that it is running already, or that the kernel does not tell of changed files; the
// registry goes on without it.
func (r *Registry) Run(ctx context.Context) error {
	if !r.running.TryLock() {
		return errors.New("the registry of breakers is running already")
	}
	defer r.running.Unlock()
	// A last reload may change breakers: it ends before those who hear of it do.
	listening, stop := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { r.driver.Run(listening) })
	// The files may have changed since they were loaded, so it loads them once more when it
	// begins to watch.
	err := files.Watch(ctx, r.paths, files.WatchOptions{}, r.refresh, r.refresh)
	stop()
	running.Wait()
	return err
}

// refresh loads changed files, for those who have nobody to return an error to.
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
