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
)

// reload reads the policy and puts it in force. It first does everything that can fail, and then applies the policy to all
// parts. After an error nothing has changed. If the files still have the policy in force, it changes nothing.
func (a *app) reload() error {
	set, diagnostics := a.loader.Load()
	if len(diagnostics) > 0 {
		return diagnostics
	}
	old := a.current.Load()
	if set == old {
		a.metrics.Apply(set, time.Now()) // counts the load
		a.logReload(old, &change{set: set})
		return nil
	}
	publication, err := a.xds.Prepare(set, endpoints.FromSet(set))
	if err != nil {
		return fmt.Errorf("translating the policy: %w", err)
	}

	c := &change{set: set, publication: publication}
	runSteps(a.steps(), c)
	a.warnUnbound(set)
	if old != nil { // announce logs the first policy
		a.logReload(old, c)
	}
	return nil
}

// logReload logs that a policy is in force after a reload, and what has changed.
func (a *app) logReload(old *policy.Set, c *change) {
	message, level := "policy in force", slog.LevelInfo
	switch {
	case old.Revision != c.set.Revision:
	case a.lastRefusal != "":
		message = "policy is again the one in force; what was refused is gone"
	default:
		level = slog.LevelDebug
	}
	a.lastRefusal = ""
	a.log.Log(context.Background(), level, message, "revision", c.set.Revision,
		"upstreams", len(c.set.Upstreams), "breakers", len(c.set.Specs()),
		"added", keys(c.breakers.Added), "removed", keys(c.breakers.Removed), "restarted", keys(c.breakers.Restarted), "restored", keys(c.breakers.Restored))
	a.logNotes(level, old.Notes(), c.set.Notes())
	a.logRemoved(c.breakers)
}

// logNotes logs what is correct in a policy and may surprise its author, apart from what was logged of the policy before.
// Both are in order.
func (a *app) logNotes(level slog.Level, before, notes []string) {
	for _, note := range notes {
		if _, known := slices.BinarySearch(before, note); !known {
			a.log.Log(context.Background(), level, "the policy is right and may surprise", "note", note)
		}
	}
}

// warnUnbound warns, once, that a policy allows only some workloads to call an upstream, while a proxy can claim to belong
// to any workload.
func (a *app) warnUnbound(set *policy.Set) {
	hasCallers := func(u *policy.Upstream) bool { return len(u.Callers) > 0 }
	if a.workloadsBound || a.warnedUnbound || !slices.ContainsFunc(set.Upstreams, hasCallers) {
		return
	}
	a.warnedUnbound = true
	a.log.Warn("the policy says which workloads may call an upstream, and a proxy can say that it is of any of them; " +
		"give --node-identity, with {workload} in each rule, to bind them")
}

// logRemoved warns about breakers that were removed while they were not closed, or forced by hand.
func (a *app) logRemoved(changes breaker.Changes) {
	for i := range changes.Kept {
		s := &changes.Kept[i]
		details := []any{"breaker", s.Key.String(), "state", s.State.String(), "until", a.clock.Wall(s.Ends())}
		if o := s.Override; o != nil {
			details = append(details, "by", o.By, "note", o.Note)
		}
		a.log.Warn("a breaker was removed that is not closed, or that was forced by hand; if its upstream is added again by then, with the same rules, it goes on where it was", details...)
	}
	a.logLost(changes.Forgotten, "this change of the policy")
}

// logLost warns that breakers have lost their state, and why.
func (a *app) logLost(lost []breaker.Key, why string) {
	for _, key := range lost {
		a.log.Warn("the state of a breaker is lost; what was forced by hand is to be forced again", "breaker", key.String(), "why", why)
	}
}

// announce logs the policy that the process starts with, when the process is able to serve.
func (a *app) announce() {
	set := a.current.Load()
	a.log.Info("policy in force", "revision", set.Revision, "upstreams", len(set.Upstreams), "breakers", len(set.Specs()))
	a.logNotes(slog.LevelInfo, nil, set.Notes())
}

// refused reports a policy that was refused while another one is in force, in the log and on /config. The same problems
// are logged as errors only once, and at level debug from then on: other files of a watched directory may change all the
// time, such as the log itself.
func (a *app) refused(err error) {
	a.metrics.Refused(err, time.Now())
	level := slog.LevelError
	if problems := err.Error(); problems == a.lastRefusal {
		level = slog.LevelDebug
	} else {
		a.lastRefusal = problems
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

// keys returns the names of breakers for the log: the first few, and the number of the others.
func keys(ks []breaker.Key) []string {
	names := make([]string, len(ks))
	for i, k := range ks {
		names[i] = k.String()
	}
	return untrusted.Names(names)
}
