package inprocess

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/internal/driver"
	"breakwater.dev/policy"
	"breakwater.dev/sources/files"
)

// Options say who hears of what happens. The zero value is fine.
type Options struct {
	// OnTransition is called for each change of a breaker's state, one at a time and for
	// each breaker in order, never on the goroutine of a call: by [Registry.Run], so the
	// transitions wait until it runs. It may take its time, and use the registry.
	// nil: nobody asks.
	OnTransition func(breaker.Transition)
	// OnError is called by [Registry.Run] when files have changed and are refused, with
	// the error that [Registry.Reload] would return; the policy of before stays in
	// force. It may be called while OnTransition is. nil: the problems go to [log/slog].
	OnError func(error)
}

// Registry has the breakers of a policy. Get one from [Open].
type Registry struct {
	paths    []string
	options  Options
	defaults policy.Defaults
	driver   *driver.Driver
	running  sync.Mutex // held by Run

	loading sync.Mutex // serialises Reload, so that what was read last is in force
	current atomic.Pointer[policy.Set]
}

// Open loads policy files and directories, as the control plane does: the
// environment's CIRCUIT_BREAKER_ variables replace the built-in defaults, see
// [policy.DefaultsFromEnv]. The error is [policy.Diagnostics], all problems at once.
func Open(o Options, paths ...string) (*Registry, error) {
	defaults, diagnostics := policy.DefaultsFromEnv(os.LookupEnv)
	if len(diagnostics) > 0 {
		return nil, diagnostics
	}
	r := &Registry{paths: paths, options: o, defaults: defaults, driver: driver.New()}
	if o.OnTransition != nil {
		r.driver.Observe([]driver.Observer{{Name: "program", Reason: "It is the only one.", Observe: o.OnTransition}})
	}
	if err := r.Reload(); err != nil {
		return nil, err
	}
	return r, nil
}

// Reload loads the files again and puts them in force, as [Registry.Run] does when they
// change. A breaker keeps its state unless its own rules or its mode have changed. The
// error is [policy.Diagnostics]; then nothing has changed.
func (r *Registry) Reload() error {
	if diagnostics := r.load(); len(diagnostics) > 0 {
		return diagnostics
	}
	return nil
}

func (r *Registry) load() policy.Diagnostics {
	r.loading.Lock()
	defer r.loading.Unlock()
	set, diagnostics := files.Load(r.paths, r.defaults)
	if len(diagnostics) > 0 {
		return diagnostics
	}
	specs := slices.Clone(set.Specs())
	for i := range specs {
		specs[i].PerNode = false // this process is one node
	}
	r.driver.Engine.Apply(specs, r.Now())
	r.current.Store(set)
	return nil
}

// Breaker returns the breaker of an upstream, "payments", or of a route of it,
// "payments/charge". A route that no policy gives a breaker of its own shares its
// upstream's, as it does in the mesh. Where the policy has no such breaker it returns nil,
// with which [breaker.Do] just makes the call: taking a breaker out of the policy
// stops no program. [Registry.Require] finds the names that are misspelt.
func (r *Registry) Breaker(name string) *breaker.Breaker {
	key := breaker.ParseKey(name)
	b := r.driver.Engine.Breaker(key)
	if b == nil && key.Route != "" {
		key.Route = ""
		b = r.driver.Engine.Breaker(key)
	}
	return b
}

// Require returns an error that names all breakers that are asked for and that the policy
// in force does not have, and those that it has. It is a [breaker.ErrUnknown]. Here a route
// has to be one of its upstream's. A program calls it once, at its start.
func (r *Registry) Require(names ...string) error {
	has := map[string]bool{}
	var all, missing []string
	for _, u := range r.current.Load().Upstreams {
		for _, route := range u.Routes {
			if route.Breaker != nil {
				name := breaker.Key{Upstream: u.Name, Route: route.Name}.String()
				has[name] = true
				all = append(all, name)
			}
		}
	}
	for _, name := range names {
		if !has[name] {
			missing = append(missing, fmt.Sprintf("%q", name))
		}
	}
	switch {
	case len(missing) == 0:
		return nil
	case len(all) == 0:
		return fmt.Errorf("%s: %w; the policy has none", strings.Join(missing, ", "), breaker.ErrUnknown)
	default:
		return fmt.Errorf("%s: %w; the policy has %s", strings.Join(missing, ", "), breaker.ErrUnknown, strings.Join(all, ", "))
	}
}

// Snapshot returns the status of every breaker as it stands now.
func (r *Registry) Snapshot() []breaker.Status { return r.driver.Engine.Snapshot(r.Now()) }

// Force puts the breaker of that very name in a state by hand, until r.Now().Add of
// some time or [Registry.Reset]; see [breaker.Engine.Force], also for the errors.
func (r *Registry) Force(name string, o breaker.Override) error {
	if err := r.driver.Engine.Force(breaker.ParseKey(name), o, r.Now()); err != nil {
		return fmt.Errorf("forcing breaker %q: %w", name, err)
	}
	return nil
}

// Reset makes the breaker of that very name as if it were new, but for its counts, and
// ends what [Registry.Force] began. by and note are who did it, and why. The error is a
// [breaker.ErrUnknown].
func (r *Registry) Reset(name, by, note string) error {
	if err := r.driver.Engine.Reset(breaker.ParseKey(name), by, note, r.Now()); err != nil {
		return fmt.Errorf("resetting breaker %q: %w", name, err)
	}
	return nil
}

// Now reads the monotonic clock of all instants of the registry: for those who call
// [breaker.Breaker.Acquire] themselves, or say when something is to end.
func (r *Registry) Now() breaker.Instant { return r.driver.Clock.Now() }

// Time is the time of an instant, for people: that of a transition, or of a status.
func (r *Registry) Time(i breaker.Instant) time.Time { return r.driver.Clock.Wall(i) }
