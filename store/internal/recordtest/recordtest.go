// Package recordtest has states of breakers for the tests of stores.
//
// In: nothing.
// Out: examples, and states that rapid draws; all of them at [Date].
// Called by: tests of the stores.
// Never: writes or reads a record.
// Concurrency: each call returns new values.
package recordtest

import (
	"time"

	"pgregory.net/rapid"

	"breakwater.dev/breaker"
	"breakwater.dev/store/internal/record"
)

// Date is the time of the tests, on both clocks of a process that has run for an hour.
var Date = record.Anchor{Instant: breaker.Instant(time.Hour), Wall: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}

// At returns the instant d after Date.
func At(d time.Duration) breaker.Instant { return Date.Instant.Add(d) }

// Examples returns the states of an open breaker, of a half-open breaker, and of a breaker that an operator holds open.
func Examples() []breaker.Saved {
	counts := breaker.DefaultConfig()
	counts.WindowSize, counts.WindowDuration = 100, 0
	counts.BackoffMultiplier, counts.BackoffJitter = 150, 1_250
	node := breaker.Key{Upstream: "payments", Route: "charge", Node: "proxy-1"}
	return []breaker.Saved{
		{
			Key: node, Config: breaker.DefaultConfig(), State: breaker.Open,
			Since: At(-10 * time.Second), Until: At(20 * time.Second), Openings: 1, Sequence: 4, Generation: 6,
			Trip: &breaker.Transition{
				Key: node, Edge: breaker.Edge{From: breaker.Closed, To: breaker.Open, Reason: breaker.SlowCallRate},
				Sequence: 4, Generation: 6, At: At(-10 * time.Second), Since: At(-time.Minute),
				Window: breaker.WindowCounts{Calls: 40, Failures: 3, Slow: 20, Run: 1}, Wait: 30 * time.Second, Openings: 1,
			},
		},
		{
			Key: breaker.Key{Upstream: "search"}, Config: counts, State: breaker.HalfOpen,
			Since: At(-1500 * time.Millisecond), Until: At(58500 * time.Millisecond), Openings: 3, Sequence: 7, Generation: 9,
			Cause: &breaker.Transition{
				Key: breaker.Key{Upstream: "search"}, Edge: breaker.Edge{From: breaker.Closed, To: breaker.Open, Reason: breaker.FailureRate},
				Mode: breaker.MetricsOnly, Sequence: 2, Generation: 4, At: At(-time.Hour), Since: At(-2 * time.Hour),
				Window: breaker.WindowCounts{Calls: 10, Failures: 6, Run: 2}, Wait: 30 * time.Second, Openings: 1,
			},
			Trip: &breaker.Transition{
				Key: breaker.Key{Upstream: "search"}, Edge: breaker.Edge{From: breaker.HalfOpen, To: breaker.Open, Reason: breaker.ProbeFailed},
				Mode: breaker.MetricsOnly, Sequence: 6, Generation: 8, At: At(-time.Minute), Since: At(-2 * time.Minute),
				Window: breaker.WindowCounts{Calls: 1, Failures: 1, Run: 1}, Wait: 30 * time.Second, Openings: 3,
			},
		},
		{
			Key: breaker.Key{Upstream: "stock"}, Config: breaker.DefaultConfig(), State: breaker.Open,
			Since: At(-time.Hour), Sequence: 1, Generation: 2,
			Override: &breaker.Override{State: breaker.Open, By: "ann", Note: "migration <2>", Until: At(time.Hour)},
		},
	}
}

// Any draws a state with any values that its types allow. Only its times are limited: past events are before Date, and
// overrides end after it.
func Any(t *rapid.T) breaker.Saved {
	span := func(label string, low, high time.Duration) time.Duration {
		return time.Duration(rapid.Int64Range(int64(low), int64(high)).Draw(t, label))
	}
	past := func(label string) breaker.Instant { return At(-span(label, 0, 50*365*24*time.Hour)) }
	future := func(label string) breaker.Instant {
		return rapid.OneOf(
			rapid.Just(breaker.Instant(0)),
			rapid.Custom(func(t *rapid.T) breaker.Instant {
				return At(time.Duration(rapid.Int64Range(1, int64(40*365*24*time.Hour)).Draw(t, label)))
			}),
		).Draw(t, label)
	}
	state := func(label string) breaker.State {
		return rapid.SampledFrom([]breaker.State{breaker.Closed, breaker.HalfOpen, breaker.Open}).Draw(t, label)
	}
	key := func() breaker.Key {
		name := rapid.String()
		return breaker.Key{Upstream: name.Draw(t, "upstream"), Route: name.Draw(t, "route"), Node: name.Draw(t, "node")}
	}
	s := breaker.Saved{
		Key: key(), Config: anyConfig(t), State: state("state"), Since: past("since"), Until: future("until"),
		Openings: rapid.Uint32().Draw(t, "openings"), Sequence: rapid.Uint64().Draw(t, "sequence"), Generation: rapid.Uint64().Draw(t, "generation"),
	}
	if rapid.Bool().Draw(t, "overridden") {
		s.Override = &breaker.Override{State: state("override"), By: rapid.String().Draw(t, "by"), Note: rapid.String().Draw(t, "note"), Until: future("override until")}
	}
	transition := func() *breaker.Transition {
		return &breaker.Transition{
			Mode: rapid.SampledFrom([]breaker.Mode{breaker.Enforce, breaker.MetricsOnly, breaker.ForcedOpen, breaker.Disabled}).Draw(t, "trip mode"),
			Key:  key(), Edge: rapid.SampledFrom(breaker.Edges()).Draw(t, "edge"),
			Sequence: rapid.Uint64().Draw(t, "trip sequence"), Generation: rapid.Uint64().Draw(t, "trip generation"),
			At: past("at"), Since: past("trip since"), Wait: span("wait", 0, breaker.MaxDuration), Openings: rapid.Uint32().Draw(t, "trip openings"),
			Window: breaker.WindowCounts{
				Calls: rapid.Uint64().Draw(t, "calls"), Failures: rapid.Uint64().Draw(t, "failures"),
				Slow: rapid.Uint64().Draw(t, "slow"), Run: rapid.Uint32().Draw(t, "run"),
			},
			By: rapid.String().Draw(t, "trip by"), Note: rapid.String().Draw(t, "trip note"), Until: future("trip until"),
		}
	}
	if rapid.Bool().Draw(t, "tripped") {
		s.Trip = transition()
	}
	if rapid.Bool().Draw(t, "in an episode") {
		s.Cause = transition()
	}
	return s
}

// anyConfig draws a configuration with any values that its types allow.
func anyConfig(t *rapid.T) breaker.Config {
	var c breaker.Config
	for _, f := range breaker.Fields() {
		switch p := f.Pointer(&c).(type) {
		case *uint32:
			*p = rapid.Uint32().Draw(t, f.Path)
		case *time.Duration:
			*p = time.Duration(rapid.Int64().Draw(t, f.Path))
		case *breaker.Ratio:
			*p = breaker.Ratio(rapid.Uint32().Draw(t, f.Path))
		case *breaker.Hundredths:
			*p = breaker.Hundredths(rapid.Uint32().Draw(t, f.Path))
		case *breaker.Mode:
			*p = rapid.SampledFrom([]breaker.Mode{breaker.Enforce, breaker.MetricsOnly, breaker.ForcedOpen, breaker.Disabled}).Draw(t, f.Path)
		default:
			t.Fatalf("%s has a type that this test does not know", f.Path)
		}
	}
	return c
}
