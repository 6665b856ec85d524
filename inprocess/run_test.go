package inprocess

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/policy"
)

// deadline is much longer than any step of these tests takes.
const deadline = 20 * time.Second

// running runs the registry until the test ends.
func running(t *testing.T, r *Registry) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	})
}

// next receives from a channel, and fails the test if nothing comes before the deadline.
func next[T any](t *testing.T, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(deadline):
		t.Fatalf("no %s", what)
	}
	return v
}

// quick returns a policy whose breakers become half-open after 20 ms, and open again after 30 ms without a probe.
func quick(t *testing.T) string {
	return changed(t, "waitDurationInOpenState: 30s", "waitDurationInOpenState: 20ms, maxWaitDurationInHalfOpenState: 30ms",
		"timeout: 10s", "timeout: 10ms", "timeout: 0s", "timeout: 10ms")
}

// Run delivers each transition in order, those that time causes and those from before Run as
// well. OnTransition may use the registry.
func TestRunDeliversTransitions(t *testing.T) {
	transitions := make(chan breaker.Transition, 100)
	var r *Registry
	listen := func(tr breaker.Transition) {
		if r.Breaker(tr.Key.String()) == nil || len(r.Snapshot()) != 2 {
			t.Errorf("OnTransition finds no breaker %v", tr.Key)
		}
		transitions <- tr
	}
	r, _ = opened(t, Options{OnTransition: listen}, quick(t))
	call(r, "payments", 2, errBroken)
	select {
	case tr := <-transitions:
		t.Fatalf("delivered although Run is not running: %+v", tr)
	default:
	}
	running(t, r)
	var at breaker.Instant
	for i, want := range []breaker.Edge{
		{From: breaker.Closed, To: breaker.Open, Reason: breaker.ConsecutiveFailures},
		{From: breaker.Open, To: breaker.HalfOpen, Reason: breaker.WaitOver},
		{From: breaker.HalfOpen, To: breaker.Open, Reason: breaker.HalfOpenExpired},
		{From: breaker.Open, To: breaker.HalfOpen, Reason: breaker.WaitOver},
	} {
		got := next(t, transitions, "transition")
		if got.Edge != want || got.Sequence != uint64(i+1) || got.At < at || got.At > r.Now() {
			t.Errorf("transition %d: %+v, want %+v", i, got, want)
		}
		at = got.At
	}
}

// Run delivers all transitions before it returns, and can be run again.
func TestRunDeliversAllAtTheEnd(t *testing.T) {
	var got []uint64
	r, _ := opened(t, Options{OnTransition: func(tr breaker.Transition) { got = append(got, tr.Sequence) }}, basic)
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := r.Reset("payments", "test", "a transition"); err != nil {
			t.Fatal(err)
		}
		if err := r.Run(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if want := []uint64{1, 2}; !slices.Equal(got, want) {
		t.Errorf("delivered %v, want %v", got, want)
	}
}

// Run puts changed files in force. Files with errors are reported and change nothing.
func TestRunReloads(t *testing.T) {
	transitions, refused := make(chan breaker.Transition, 100), make(chan error, 100)
	r, file := opened(t, Options{
		OnTransition: func(tr breaker.Transition) { transitions <- tr },
		OnError:      func(err error) { refused <- err },
	}, basic)
	running(t, r)
	call(r, "payments", 2, errBroken)
	next(t, transitions, "transition")
	handle, set := r.Breaker("payments"), r.current.Load()

	write(t, file, changed(t, "10s", "ten"))
	err := next(t, refused, "error")
	var diagnostics policy.Diagnostics
	if !errors.As(err, &diagnostics) || len(diagnostics) != 1 || diagnostics[0].Rule != "bad-duration" {
		t.Errorf("reported %v, want the bad duration", err)
	}
	if now := r.current.Load(); r.Breaker("payments") != handle || now.Revision != set.Revision {
		t.Error("the refused policy changed something")
	}
	if err := call(r, "payments", 1, nil); !errors.Is(err, breaker.ErrOpen) {
		t.Errorf("a call after the refused policy: %v, want that the breaker is open", err)
	}

	write(t, file, changed(t, "consecutiveFailures: 2", "consecutiveFailures: 3"))
	want := breaker.Edge{From: breaker.Open, To: breaker.Closed, Reason: breaker.PolicyChanged}
	if got := next(t, transitions, "transition").Edge; got != want {
		t.Errorf("the changed policy: %+v, want %+v", got, want)
	}
	if got := status(t, r, "payments").Config.ConsecutiveFailures; got != 3 {
		t.Errorf("%d failures in force, want 3", got)
	}
}

// Run notices files that changed between Open and Run. Without OnError, problems are logged, each with its place.
func TestRunLoadsAtOnceAndLogs(t *testing.T) {
	lines := make(chan string, 100)
	old := slog.Default()
	t.Cleanup(func() { slog.SetDefault(old) })
	slog.SetDefault(slog.New(slog.NewTextHandler(lineWriter(lines), nil)))
	r, file := opened(t, Options{}, basic)
	write(t, file, changed(t, "10s", "ten"))
	running(t, r)
	line := next(t, lines, "line in the log")
	if !strings.Contains(line, "level=ERROR") || !strings.Contains(line, file+":22:12: spec.timeout = ten;") {
		t.Errorf("logged %s", line)
	}
}

// lineWriter sends each line that is written to it to a channel.
type lineWriter chan<- string

func (w lineWriter) Write(p []byte) (int, error) {
	w <- string(bytes.TrimSpace(p))
	return len(p), nil
}

func TestRunOnceAtATime(t *testing.T) {
	transitions := make(chan breaker.Transition, 100)
	r, _ := opened(t, Options{OnTransition: func(tr breaker.Transition) { transitions <- tr }}, basic)
	running(t, r)
	call(r, "payments", 2, errBroken)
	next(t, transitions, "transition") // Run is running now
	if err := r.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "running already") {
		t.Errorf("a second Run = %v, want that it is running already", err)
	}
}
