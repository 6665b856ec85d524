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

// Options are the program's functions that a registry calls. The zero value is valid.
type Options struct {
	// OnTransition is called for each transition, one at a time and in order for each
	// breaker. [Registry.Run] calls it, never the goroutine of a call; so transitions wait
	// until Run runs. It may be slow, and may use the registry. nil: transitions are dropped.
	OnTransition func(breaker.Transition)
	// OnError is called by [Registry.Run] when changed files are refused, with the same
	// error as from [Registry.Reload]. The previous policy stays in force. OnError may be
	// called at the same time as OnTransition. nil: the problems are logged with [log/slog].
	OnError func(error)
}

// Registry has the breakers of a policy. Make it with [Open].
type Registry struct {
	paths   []string
	options Options
	driver  *driver.Driver
	running sync.Mutex // held by Run

	loading sync.Mutex // serialises Reload, so that the files that were read last are in force
	loader  *files.Loader
	current atomic.Pointer[policy.Set]
}

// Open loads policy files and directories as the control plane does. The environment
// variables that begin with CIRCUIT_BREAKER_ replace the built-in defaults, see
// [policy.DefaultsFromEnv]. The error is [policy.Diagnostics], with all problems.
func Open(o Options, paths ...string) (*Registry, error) {
	defaults, diagnostics := policy.DefaultsFromEnv(os.LookupEnv)
	if len(diagnostics) > 0 {
		return nil, diagnostics
	}
	r := &Registry{paths: paths, options: o, loader: files.NewLoader(paths, defaults), driver: driver.New()}
	if o.OnTransition != nil {
		r.driver.Observe([]driver.Observer{{Name: "program", Reason: "There is no other observer.", Observe: o.OnTransition}})
	}
	if err := r.Reload(); err != nil {
		return nil, err
	}
	return r, nil
}

// Reload loads the files again and puts them in force, as [Registry.Run] does when they
// change. A breaker keeps its state unless its own rules or its mode have changed. The
// error is [policy.Diagnostics]; the previous policy then stays in force.
func (r *Registry) Reload() error {
	if diagnostics := r.load(); len(diagnostics) > 0 {
		return diagnostics
	}
	return nil
}

func (r *Registry) load() policy.Diagnostics {
	r.loading.Lock()
	defer r.loading.Unlock()
	set, diagnostics := r.loader.Load()
	if len(diagnostics) > 0 || set == r.current.Load() {
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

// Breaker returns the breaker of an upstream, such as "payments", or of one of its routes,
// such as "payments/charge". A route without its own breaker shares its upstream's breaker,
// as in the mesh. If the policy has no such breaker, Breaker returns nil, with which
// [breaker.Do] just makes the call; so a program keeps working when a breaker is removed
// from the policy. Use [Registry.Require] to find misspelt names.
func (r *Registry) Breaker(name string) *breaker.Breaker {
	key := breaker.ParseKey(name)
	b := r.driver.Engine.Breaker(key)
	if b == nil && key.Route != "" {
		key.Route = ""
		b = r.driver.Engine.Breaker(key)
	}
	return b
}

// Require checks that the policy in force has all the named breakers. Its error is a
// [breaker.ErrUnknown], and names the missing breakers and the existing ones. Unlike in
// [Registry.Breaker], a route must be in the policy. A program calls Require once, when it
// starts.
func (r *Registry) Require(names ...string) error {
	has := map[string]bool{}
	var all, missing []string
	for u, route := range r.current.Load().Routes() {
		if route.Breaker != nil {
			name := breaker.Key{Upstream: u.Name, Route: route.Name}.String()
			has[name] = true
			all = append(all, name)
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

// Snapshot returns the current status of every breaker.
func (r *Registry) Snapshot() []breaker.Status { return r.driver.Engine.Snapshot(r.Now()) }

// Force puts the breaker with exactly this name into a state by hand, until o.Until or
// [Registry.Reset]. Until is an instant such as r.Now().Add(time.Hour). See
// [breaker.Engine.Force] for the errors.
func (r *Registry) Force(name string, o breaker.Override) error {
	if err := r.driver.Engine.Force(breaker.ParseKey(name), o, r.Now()); err != nil {
		return fmt.Errorf("forcing breaker %q: %w", name, err)
	}
	return nil
}

// Reset makes the breaker with exactly this name as if it were new, except for its counts,
// and ends an override by [Registry.Force]. by names the operator, and note the reason. The
// error is a [breaker.ErrUnknown].
func (r *Registry) Reset(name, by, note string) error {
	if err := r.driver.Engine.Reset(breaker.ParseKey(name), by, note, r.Now()); err != nil {
		return fmt.Errorf("resetting breaker %q: %w", name, err)
	}
	return nil
}

// Now reads the monotonic clock from which all instants of the registry come. Programs need
// it to call [breaker.Breaker.Acquire] themselves, or to set the end of an override.
func (r *Registry) Now() breaker.Instant { return r.driver.Clock.Now() }

// Time returns the wall time of an instant, such as a transition's, for logs and pages.
func (r *Registry) Time(i breaker.Instant) time.Time { return r.driver.Clock.Wall(i) }
