package app

import (
	"fmt"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/store"
	"breakwater.dev/telemetry"
)

// restore takes up the breakers that an earlier process has kept, and prepares to
// keep them from now on. The policy is in force, and nobody is served yet.
func (a *app) restore() (stop func(), err error) {
	if a.options.StateDir == "" {
		return func() {}, nil
	}
	file, saved, err := store.Open(a.options.StateDir, a.clock.both, a.log)
	if err != nil {
		return nil, fmt.Errorf("keeping the state of breakers: %w", err)
	}
	engine := a.transitions.engine
	restored := engine.Restore(saved, a.clock.now())
	if len(saved) > 0 {
		a.log.Info("breakers restored", "directory", a.options.StateDir, "kept", len(saved), "restored", keys(restored))
	}
	a.keeper = store.NewKeeper(file, func() []breaker.Saved { return engine.Export(a.clock.now()) }, a.log)
	return func() {
		if err := file.Close(); err != nil {
			a.log.Warn("the state directory cannot be closed", "error", err.Error())
		}
	}, nil
}

// admin is what people may do by hand.
func (a *app) admin() *telemetry.Admin {
	engine := a.transitions.engine
	token := a.options.AdminToken
	if token == nil {
		token = func() (string, error) { return "", nil }
	}
	return &telemetry.Admin{
		Token: token,
		Force: func(key breaker.Key, f telemetry.Force) error {
			now := a.clock.now()
			return engine.Force(key, breaker.Override{State: f.State, By: f.By, Note: f.Note, Until: now.Add(f.For)}, now)
		},
		Reset: func(key breaker.Key, by, note string) error { return engine.Reset(key, by, note, a.clock.now()) },
	}
}

// both reads both clocks at the same moment.
func (c clock) both() (breaker.Instant, time.Time) {
	now := time.Now()
	return breaker.Instant(now.Sub(c.start)), now
}
