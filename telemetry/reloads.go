package telemetry

import (
	"sync"
	"time"
)

// reloads remembers what became of the policies that were loaded.
type reloads struct {
	mu    sync.Mutex
	state reloadState
}

// reloadState is all of it at one instant.
type reloadState struct {
	revision  string    // in force; empty before the first
	loadedAt  time.Time // when that revision was taken
	lastAt    time.Time // of the last reload, whatever became of it; zero before the first
	refusal   error     // of the last reload; nil when it succeeded
	succeeded uint64
	refused   uint64
}

// applied notes a success, and makes change within the same step, so that of two
// policies applied at a time the later one wins in both.
func (r *reloads) applied(revision string, at time.Time, change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
	r.state.revision, r.state.loadedAt = revision, at
	r.state.lastAt, r.state.refusal = at, nil
	r.state.succeeded++
}

func (r *reloads) refused(err error, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state.lastAt, r.state.refusal = at, err
	r.state.refused++
}

func (r *reloads) now() reloadState {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}
