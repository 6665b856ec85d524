package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/endpoints"
	"breakwater.dev/internal/untrusted"
	"breakwater.dev/policy"
	"breakwater.dev/sources/files"
)

// reload reads the policy and puts it in force. Everything that can fail is done
// first; then all parts are swapped. When it fails, nothing has changed.
func (a *app) reload() error {
	set, diagnostics := files.Load(a.options.Policy, a.defaults)
	if len(diagnostics) > 0 {
		return diagnostics
	}
	publication, err := a.xds.Prepare(set, endpoints.FromSet(set))
	if err != nil {
		return fmt.Errorf("translating the policy: %w", err)
	}

	c := &change{set: set, publication: publication}
	put(a.steps(), c)
	old := a.current.Swap(set)
	a.tellUnbound(set)
	if old == nil {
		return nil // see announce
	}
	message, level := "policy in force", slog.LevelInfo
	switch {
	case old.Revision != set.Revision:
	case a.refusal != "":
		message = "policy is again the one in force; what was refused is gone"
	default:
		level = slog.LevelDebug
	}
	a.refusal = ""
	a.log.Log(context.Background(), level, message, "revision", set.Revision,
		"upstreams", len(set.Upstreams), "breakers", len(set.Specs()),
		"added", keys(c.breakers.Added), "removed", keys(c.breakers.Removed), "restarted", keys(c.breakers.Restarted), "restored", keys(c.breakers.Restored))
	a.tellNotes(level, set)
	a.tellRemoved(c.breakers)
	return nil
}

func (a *app) tellNotes(level slog.Level, set *policy.Set) {
	for _, note := range set.Notes() {
		a.log.Log(context.Background(), level, "the policy is right and may surprise", "note", note)
	}
}

// tellUnbound warns, once, that a policy names callers and that any proxy can be one of them.
func (a *app) tellUnbound(set *policy.Set) {
	names := func(u *policy.Upstream) bool { return len(u.Callers) > 0 }
	if a.bound || a.told || !slices.ContainsFunc(set.Upstreams, names) {
		return
	}
	a.told = true
	a.log.Warn("the policy says which workloads may call an upstream, and a proxy can say that it is of any of them; " +
		"give --node-identity, with {workload} in each rule, to bind them")
}

// tellRemoved says what becomes of breakers that were removed in a state that is not over.
func (a *app) tellRemoved(changes breaker.Changes) {
	for i := range changes.Kept {
		s := &changes.Kept[i]
		details := []any{"breaker", s.Key.String(), "state", s.State.String(), "until", a.clock.Wall(s.Ends())}
		if o := s.Override; o != nil {
			details = append(details, "by", o.By, "note", o.Note)
		}
		a.log.Warn("a breaker was removed that is not closed, or that was forced by hand; if its upstream is added again by then, with the same rules, it goes on where it was", details...)
	}
	a.tellLost(changes.Forgotten, "this change of the policy")
}

// tellLost says that breakers have lost a state that is not over, and why.
func (a *app) tellLost(lost []breaker.Key, why string) {
	for _, key := range lost {
		a.log.Warn("the state of a breaker is lost; what was forced by hand is to be forced again", "breaker", key.String(), "why", why)
	}
}

// announce logs the policy that the process starts with, once it can serve.
func (a *app) announce() {
	set := a.current.Load()
	a.log.Info("policy in force", "revision", set.Revision, "upstreams", len(set.Upstreams), "breakers", len(set.Specs()))
	a.tellNotes(slog.LevelInfo, set)
}

// refused reports, in the log and on /config, a policy that was not taken while
// another is in force. What was said already is not said again as loudly: other files
// of the same directory may change all the time, the log itself among them.
func (a *app) refused(err error) {
	a.metrics.Refused(err, time.Now())
	level := slog.LevelError
	if problems := err.Error(); problems == a.refusal {
		level = slog.LevelDebug
	} else {
		a.refusal = problems
	}
	refused := func(problem string) {
		a.log.Log(context.Background(), level, "policy refused; the old one stays in force", "problem", problem)
	}
	var diagnostics policy.Diagnostics
	if !errors.As(err, &diagnostics) {
		refused(err.Error())
		return
	}
	for _, d := range diagnostics {
		refused(d.String())
	}
}

// keys are the names of breakers as the log has them: the first ones, and how many there are besides.
func keys(ks []breaker.Key) []string {
	names := make([]string, len(ks))
	for i, k := range ks {
		names[i] = k.String()
	}
	return untrusted.Names(names)
}
