package app

import (
	"context"
	"fmt"
	"slices"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/peers"
	"breakwater.dev/store"
)

// reconnectTime is how long healthy proxies need at most to connect to a new process: they try every 2 s or sooner. Until
// then they may let calls pass without a decision, so no breaker becomes half-open.
const reconnectTime = 5 * time.Second

// restore restores the breakers that an earlier process has saved, and makes the keeper that saves them from now on. It is
// called when the first policy is in force, and before any client is served. The caller calls stop when nothing is saved
// any longer.
func (a *app) restore() (stop func(), err error) {
	if a.replicas != nil {
		a.metrics.Register(a.replicas.router.Collector(a.clock.Now))
		if a.replicas.store != nil {
			return a.restoreShared(), nil
		}
	}
	if a.options.StateDir == "" {
		a.metrics.Register(a.keeper)
		return func() {}, nil
	}
	file, saved, err := store.Open(a.options.StateDir, a.clock.Both, a.log)
	if err != nil {
		return nil, fmt.Errorf("keeping the state of breakers: %w", err)
	}
	if a.replicas != nil {
		a.offer(saved)
	} else {
		a.takeUp(saved)
	}
	a.keeper = store.NewKeeper(store.InFile(file, a.export), a.log)
	a.metrics.Register(a.keeper)
	return func() {
		if err := file.Close(); err != nil {
			a.log.Warn("the state directory cannot be closed", "error", err.Error())
		}
	}, nil
}

// takeUp restores the breakers that an earlier process has saved.
func (a *app) takeUp(saved []breaker.Saved) {
	now := a.clock.Now()
	restored, lost := a.engine.Restore(saved, now.Add(reconnectTime), now)
	a.driver.Deliver()
	if len(saved) > 0 {
		a.log.Info("breakers restored", "directory", a.options.StateDir, "kept", len(saved), "restored", keys(restored))
	}
	a.logLost(lost, "the policy is another one than before, or there is too much to keep")
}

// savedEpoch is the epoch of states in a file. It is below the epoch of every view: other replicas may have gone on with the
// breakers since.
const savedEpoch = 1

// offer has the replicas take up the breakers that an earlier process of this one has saved, where none of them knows better.
func (a *app) offer(saved []breaker.Saved) {
	states := make([]peers.Stored, len(saved))
	for i := range saved {
		states[i] = peers.Stored{Epoch: savedEpoch, Saved: saved[i]}
	}
	a.replicas.router.Offer(states, a.clock.Now())
	if len(saved) > 0 {
		a.log.Info("breakers offered to the replicas", "directory", a.options.StateDir, "kept", len(saved))
	}
}

// restoreShared takes up the states in the store of all replicas. It goes on without them if the store does not answer.
func (a *app) restoreShared() (stop func()) {
	a.metrics.Register(a.replicas.saver, a.replicas.store)
	if !a.replicas.load(context.Background(), a.clock.Now) {
		a.log.Warn("the store does not answer: this replica begins without the breakers that are in it")
	}
	return func() {}
}

// export returns the states to save. When all streams have ended, the engine gets no more calls, and the last export has
// fewer half-open breakers.
func (a *app) export() []breaker.Saved {
	export := a.engine.Export
	if a.drained.Load() {
		export = a.engine.ExportLast
	}
	saved := export(a.clock.Now())
	if a.replicas == nil {
		return saved
	}
	return slices.DeleteFunc(saved, func(s breaker.Saved) bool { return !a.replicas.router.Here(s.Key) }) // the others keep theirs
}
