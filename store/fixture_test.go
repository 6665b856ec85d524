package store

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"breakwater.dev/breaker"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimVariable); dir != "" {
		victim(dir)
	}
	goleak.VerifyTestMain(m)
}

// date is the time of the tests, on both clocks of a process that has run for an hour.
var date = anchor{breaker.Instant(time.Hour), time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}

// later returns the clocks of the next process, d after date. The process began a minute before.
func later(d time.Duration) anchor {
	return anchor{breaker.Instant(time.Minute), date.wall.Add(d)}
}

// at returns the instant d after date.
func at(d time.Duration) breaker.Instant { return date.instant.Add(d) }

// stopped returns a clock that stands still.
func stopped(a anchor) Clock {
	return func() (breaker.Instant, time.Time) { return a.instant, a.wall }
}

// open opens dir at a given time, until the test ends. It also returns the log.
func open(t *testing.T, dir string, a anchor) (f *File, saved []breaker.Saved, log string) {
	t.Helper()
	var lines bytes.Buffer
	f, saved, err := Open(dir, stopped(a), slog.New(slog.NewTextHandler(&lines, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeFile(t, f) })
	return f, saved, lines.String()
}

func closeFile(t *testing.T, f *File) {
	t.Helper()
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

// save saves states, and returns the number of bytes that were written.
func save(t *testing.T, f *File, saved []breaker.Saved) int {
	t.Helper()
	n, err := f.Save(saved)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// names returns the names of the files in dir.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func read(t *testing.T, path ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func write(t *testing.T, data []byte, path ...string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(path...), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// same compares restored states with saved ones, both in the instants of one process.
func same(t interface {
	Helper()
	Errorf(string, ...any)
}, got, want []breaker.Saved) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the restored states differ from the saved ones (-want +got):\n%s", diff)
	}
}

// wantText fails the test for each of the texts that is missing in got.
func wantText(t *testing.T, got string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(got, text) {
			t.Errorf("%q does not have %q", got, text)
		}
	}
}

// examples returns the states of an open breaker, of a half-open breaker, and of a breaker that an operator holds open.
func examples() []breaker.Saved {
	counts := breaker.DefaultConfig()
	counts.WindowSize, counts.WindowDuration = 100, 0
	counts.BackoffMultiplier, counts.BackoffJitter = 150, 1_250
	node := breaker.Key{Upstream: "payments", Route: "charge", Node: "proxy-1"}
	return []breaker.Saved{
		{
			Key: node, Config: breaker.DefaultConfig(), State: breaker.Open,
			Since: at(-10 * time.Second), Until: at(20 * time.Second), Openings: 1, Sequence: 4, Generation: 6,
			Trip: &breaker.Transition{
				Key: node, Edge: breaker.Edge{From: breaker.Closed, To: breaker.Open, Reason: breaker.SlowCallRate},
				Sequence: 4, Generation: 6, At: at(-10 * time.Second), Since: at(-time.Minute),
				Window: breaker.WindowCounts{Calls: 40, Failures: 3, Slow: 20, Run: 1}, Wait: 30 * time.Second, Openings: 1,
			},
		},
		{
			Key: breaker.Key{Upstream: "search"}, Config: counts, State: breaker.HalfOpen,
			Since: at(-1500 * time.Millisecond), Until: at(58500 * time.Millisecond), Openings: 3, Sequence: 7, Generation: 9,
			Cause: &breaker.Transition{
				Key: breaker.Key{Upstream: "search"}, Edge: breaker.Edge{From: breaker.Closed, To: breaker.Open, Reason: breaker.FailureRate},
				Mode: breaker.MetricsOnly, Sequence: 2, Generation: 4, At: at(-time.Hour), Since: at(-2 * time.Hour),
				Window: breaker.WindowCounts{Calls: 10, Failures: 6, Run: 2}, Wait: 30 * time.Second, Openings: 1,
			},
			Trip: &breaker.Transition{
				Key: breaker.Key{Upstream: "search"}, Edge: breaker.Edge{From: breaker.HalfOpen, To: breaker.Open, Reason: breaker.ProbeFailed},
				Mode: breaker.MetricsOnly, Sequence: 6, Generation: 8, At: at(-time.Minute), Since: at(-2 * time.Minute),
				Window: breaker.WindowCounts{Calls: 1, Failures: 1, Run: 1}, Wait: 30 * time.Second, Openings: 3,
			},
		},
		{
			Key: breaker.Key{Upstream: "stock"}, Config: breaker.DefaultConfig(), State: breaker.Open,
			Since: at(-time.Hour), Sequence: 1, Generation: 2,
			Override: &breaker.Override{State: breaker.Open, By: "ann", Note: "migration <2>", Until: at(time.Hour)},
		},
	}
}

// anySaved draws a state with any values that its types allow. Only its times are limited: past events are before date, and
// overrides end after it.
func anySaved(t *rapid.T) breaker.Saved {
	span := func(label string, low, high time.Duration) time.Duration {
		return time.Duration(rapid.Int64Range(int64(low), int64(high)).Draw(t, label))
	}
	past := func(label string) breaker.Instant { return at(-span(label, 0, 50*365*24*time.Hour)) }
	future := func(label string) breaker.Instant {
		return rapid.OneOf(
			rapid.Just(breaker.Instant(0)),
			rapid.Custom(func(t *rapid.T) breaker.Instant {
				return at(time.Duration(rapid.Int64Range(1, int64(40*365*24*time.Hour)).Draw(t, label)))
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

func mustDecode(t *testing.T, data []byte) []breaker.Saved {
	t.Helper()
	saved, err := decode(data, date)
	if err != nil {
		t.Fatal(err)
	}
	return saved
}
