package app

import (
	"fmt"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/store"
)

// returning is how long proxies that have lost a control plane take at most to come back to the next one, if they are
// well: they try again every 2 s or sooner. Until then calls may pass them unasked, so nothing is half-open.
const returning = 5 * time.Second

// restore takes up the breakers that an earlier process has kept, and prepares to
// keep them from now on. The policy is in force, and nobody is served yet.
func (a *app) restore() (stop func(), err error) {
	if a.options.StateDir == "" {
		a.metrics.Register(a.keeper)
		return func() {}, nil
	}
	file, saved, err := store.Open(a.options.StateDir, a.clock.Both, a.log)
	if err != nil {
		return nil, fmt.Errorf("keeping the state of breakers: %w", err)
	}
	now := a.clock.Now()
	restored, lost := a.engine.Restore(saved, now.Add(returning), now)
	a.driver.Deliver()
	if len(saved) > 0 {
		a.log.Info("breakers restored", "directory", a.options.StateDir, "kept", len(saved), "restored", keys(restored))
	}
	a.tellLost(lost, "the policy is another one than before, or there is too much to keep")
	a.keeper = store.NewKeeper(file, a.export, a.log)
	a.metrics.Register(a.keeper)
	return func() {
		if err := file.Close(); err != nil {
			a.log.Warn("the state directory cannot be closed", "error", err.Error())
		}
	}, nil
}

// export is what is to be kept. Once every request has ended that asked, no probe is in flight that is not known.
func (a *app) export() []breaker.Saved {
	if a.drained.Load() {
		return a.engine.ExportLast(a.clock.Now())
	}
	return a.engine.Export(a.clock.Now())
}
