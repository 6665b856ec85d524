package membership

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"breakwater.dev/instant"
)

// Keeper keeps a replica a member, by a registry. Make it with [NewKeeper]. It is safe for concurrent use.
type Keeper struct {
	agent    *Agent
	self     Member
	registry Registry
	o        KeeperOptions

	mu      sync.Mutex // guards what follows, and the agent
	away    bool
	leaving bool
}

// KeeperOptions connect a keeper with the rest of the process. All are required.
type KeeperOptions struct {
	Now func() instant.Instant
	// View gets each view, and what else follows from a reading. asked is when the registry was asked.
	View func(r Result, asked instant.Instant)
	// Known returns the view by which this replica acts, which it may have from another one.
	Known func() View
	Nonce func() string
	Log   *slog.Logger
}

// NewKeeper returns a keeper that has said nothing yet.
func NewKeeper(self Member, registry Registry, o KeeperOptions) *Keeper {
	return &Keeper{agent: NewAgent(self, o.Nonce), self: self, registry: registry, o: o}
}

// Run beats until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	ticker := time.NewTicker(Period)
	defer ticker.Stop()
	for {
		k.beat(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// beat says that this replica is alive, and does what follows from the answer.
func (k *Keeper) beat(ctx context.Context) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.leaving {
		return
	}
	k.agent.Learn(k.o.Known())
	asked := k.o.Now()
	reading, err := k.registry.Beat(ctx, k.self, Lease)
	if err != nil {
		k.failed(ctx, err)
		return
	}
	if k.away {
		k.away = false
		k.o.Log.Info("the store of members is back")
	}
	result := k.agent.Answered(&reading, asked, k.o.Now())
	k.o.View(result, asked)
	if result.Replace == nil {
		return
	}
	done, err := k.registry.Replace(ctx, result.Old, result.Replace)
	switch {
	case err != nil:
		k.failed(ctx, err)
	case done:
		k.o.Log.Info("the members have changed", "epoch", result.Replace.Epoch, "members", result.Replace.Names())
		k.o.View(Result{View: *result.Replace}, asked)
	}
}

func (k *Keeper) failed(ctx context.Context, err error) {
	k.agent.Failed()
	if ctx.Err() == nil && !k.away {
		k.away = true
		k.o.Log.Warn("the store of members does not answer: members stay as they are, and a restart would forget breakers", "error", err.Error())
	}
}

// Leave ends the membership of this replica. Run says no more that it is alive.
func (k *Keeper) Leave(ctx context.Context) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.leaving = true
	k.agent.Learn(k.o.Known())
	if old, next := k.agent.Without(); next != nil {
		if done, err := k.registry.Replace(ctx, old, next); err == nil && done {
			k.o.View(Result{View: *next}, 0)
		}
	}
	if err := k.registry.Leave(ctx, k.self.ID); err != nil {
		k.o.Log.Warn("the store of members was not told that this replica leaves; the others notice within seconds", "error", err.Error())
	}
}
