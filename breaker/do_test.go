package breaker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

var errBroken = errors.New("broken")

// doRig returns a breaker with the clock of a synctest bubble and a timeout of a second.
func doRig(t *testing.T, cfg Config) *Breaker {
	t.Helper()
	start := time.Now()
	e := NewEngine(Options{Now: func() Instant { return epoch.Add(time.Since(start)) }})
	e.Apply([]Spec{{Key: keyA, Config: cfg, Lease: time.Minute, Timeout: time.Second}}, epoch)
	return e.Breaker(keyA)
}

// TestDoTellsWhatBecameOfTheCall: the outcome follows from the error, the deadline and the
// caller.
func TestDoTellsWhatBecameOfTheCall(t *testing.T) {
	wait := func(d time.Duration, err error) func(context.Context) error {
		return func(context.Context) error {
			<-time.After(d)
			return err
		}
	}
	for _, tt := range []struct {
		name string
		fn   func(context.Context) error
		want Counts
	}{
		{"nil", wait(0, nil), Counts{Requests: 1, Successes: 1}},
		{"an error", wait(0, errBroken), Counts{Requests: 1, Failures: 1}},
		{"an error that is an answer", wait(0, fmt.Errorf("reading: %w", Expected(errBroken))), Counts{Requests: 1, Successes: 1}},
		{"just in time", wait(time.Second-1, nil), Counts{Requests: 1, Successes: 1}},
		{"too late though it succeeded", wait(time.Second+1, nil), Counts{Requests: 1, Failures: 1, Timeouts: 1}},
		{"too late with an answer", wait(time.Minute, Expected(errBroken)), Counts{Requests: 1, Failures: 1, Timeouts: 1, Slow: 1}},
		{"its context ended", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, Counts{Requests: 1, Failures: 1, Timeouts: 1}},
		{"a timeout of its own", wait(0, fmt.Errorf("dialing: %w", &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded})), Counts{Requests: 1, Failures: 1, Timeouts: 1}},
		{"no timeout of its own", wait(0, &net.OpError{Op: "dial", Err: errBroken}), Counts{Requests: 1, Failures: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := doRig(t, DefaultConfig())
				var said error
				err := Do(t.Context(), b, func(ctx context.Context) error {
					said = tt.fn(ctx)
					return said
				})
				if err != said {
					t.Errorf("error %v, want that of the function, %v", err, said)
				}
				if got := b.Status(b.engine.now()).Counts; got != tt.want {
					t.Errorf("counts %+v, want %+v", got, tt.want)
				}
			})
		})
	}
}

// TestDoWithACallersContext: a caller who leaves, or whose own deadline passes, says nothing
// about the upstream, unless the call had become slow or the policy's timeout had passed.
func TestDoWithACallersContext(t *testing.T) {
	untilOver := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	heedless := func(err error) func(context.Context) error {
		return func(context.Context) error { <-time.After(time.Minute); return err }
	}
	cancelled := func(d time.Duration) func(context.Context) (context.Context, context.CancelFunc) {
		return func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(d, cancel)
			return ctx, cancel
		}
	}
	deadline := func(d time.Duration) func(context.Context) (context.Context, context.CancelFunc) {
		return func(ctx context.Context) (context.Context, context.CancelFunc) { return context.WithTimeout(ctx, d) }
	}
	net := fmt.Errorf("reading: %w", os.ErrDeadlineExceeded)
	for _, tt := range []struct {
		name string
		end  func(context.Context) (context.Context, context.CancelFunc)
		fn   func(context.Context) error
		gone ClientGone
		want Counts
	}{
		{"cancelled", cancelled(time.Millisecond), untilOver, GoneSlow, Counts{Requests: 1, Ignored: 1}},
		{"cancelled when it was slow", cancelled(500 * time.Millisecond), untilOver, GoneSlow, Counts{Requests: 1, Ignored: 1, Slow: 1}},
		{"cancelled when it was slow, which is ignored", cancelled(500 * time.Millisecond), untilOver, GoneIgnored, Counts{Requests: 1, Ignored: 1}},
		{"cancelled, which is a failure", cancelled(time.Millisecond), untilOver, GoneFailure, Counts{Requests: 1, Failures: 1}},
		{"cancelled, but it had succeeded", cancelled(0), func(ctx context.Context) error { <-ctx.Done(); return nil }, GoneFailure, Counts{Requests: 1, Successes: 1}},
		{"cancelled, but it had an answer", cancelled(0), func(ctx context.Context) error { <-ctx.Done(); return Expected(errBroken) }, GoneFailure, Counts{Requests: 1, Successes: 1}},
		{"its deadline", deadline(time.Millisecond), untilOver, GoneSlow, Counts{Requests: 1, Ignored: 1}},
		{"its deadline, when it was slow", deadline(500 * time.Millisecond), untilOver, GoneSlow, Counts{Requests: 1, Ignored: 1, Slow: 1}},
		{"its deadline, but it had succeeded", deadline(time.Millisecond), func(ctx context.Context) error { <-ctx.Done(); return nil }, GoneSlow, Counts{Requests: 1, Successes: 1}},
		{"a deadline beyond the policy's", deadline(2 * time.Second), untilOver, GoneSlow, Counts{Requests: 1, Failures: 1, Timeouts: 1, Slow: 1}},
		{"a deadline before the policy's, which passed as well", deadline(time.Millisecond), heedless(errBroken), GoneSlow, Counts{Requests: 1, Failures: 1, Timeouts: 1, Slow: 1}},
		{"cancelled, and the policy's timeout passed as well", cancelled(time.Millisecond), heedless(nil), GoneSlow, Counts{Requests: 1, Failures: 1, Timeouts: 1, Slow: 1}},
		{"a timeout of its own when its caller had left", cancelled(0), func(ctx context.Context) error { <-ctx.Done(); return net }, GoneSlow, Counts{Requests: 1, Ignored: 1}},
		{"a timeout of its own when its caller had not", cancelled(time.Millisecond), func(context.Context) error { return net }, GoneSlow, Counts{Requests: 1, Failures: 1, Timeouts: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := DefaultConfig()
				cfg.SlowCallDurationThreshold = 400 * time.Millisecond
				b := doRig(t, cfg)
				params := *b.params
				params.gone = tt.gone
				b.configure(&params, b.engine.now())
				ctx, cancel := tt.end(t.Context())
				defer cancel()
				_ = Do(ctx, b, tt.fn)
				if got := b.Status(b.engine.now()); got.Counts != tt.want || got.InFlight != 0 || got.Generation != 1 {
					t.Errorf("counts %+v, want %+v; %d in flight, generation %d", got.Counts, tt.want, got.InFlight, got.Generation)
				}
			})
		})
	}
}

// TestDoResolvesWhateverHappens: a panic goes on and Goexit ends the goroutine, and
// both are failures and leave no permit behind.
func TestDoResolvesWhateverHappens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := doRig(t, runRule(2))
		func() {
			defer func() {
				if got := recover(); got != "boom" {
					t.Errorf("recovered %v, want boom", got)
				}
			}()
			_ = Do(t.Context(), b, func(context.Context) error { panic("boom") })
		}()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = Do(t.Context(), b, func(context.Context) error { runtime.Goexit(); return nil })
		}()
		<-ended
		s := b.Status(b.engine.now())
		if want := (Counts{Requests: 2, Failures: 2}); s.Counts != want || s.InFlight != 0 || s.State != Open {
			t.Errorf("%s with counts %+v and %d in flight, want open, %+v and none", s.State, s.Counts, s.InFlight, want)
		}
	})
}

// TestDoWhenOpen: fn is not called, and the error says which breaker is open and until when.
func TestDoWhenOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := runRule(1)
		cfg.PermittedNumberOfCallsInHalfOpenState = 1
		b := doRig(t, cfg)
		never := func(context.Context) error { t.Error("the call was made"); return nil }
		_ = Do(t.Context(), b, func(context.Context) error { return errBroken })
		time.Sleep(10 * time.Second)
		err := Do(t.Context(), b, never)
		var open *OpenError
		if !errors.Is(err, ErrOpen) || !errors.As(err, &open) {
			t.Fatalf("error %v, want an OpenError", err)
		}
		if want := (OpenError{Key: keyA, State: Open, RetryAfter: 20 * time.Second, Until: epoch.Add(30 * time.Second)}); *open != want {
			t.Errorf("error %+v, want %+v", *open, want)
		}
		if got, want := err.Error(), "circuit breaker of a is open for another 20s"; got != want {
			t.Errorf("it says %q, want %q", got, want)
		}
		time.Sleep(20 * time.Second)
		err = Do(t.Context(), b, func(context.Context) error { return Do(t.Context(), b, never) })
		if !errors.As(err, &open) || open.State != HalfOpen || err.Error() != "circuit breaker of a is half_open" {
			t.Errorf("error %v while the only probe is out, want one that says half_open", err)
		}
	})
}

// TestDoWithoutATimeoutOrABreaker: the context stays as it is.
func TestDoWithoutATimeoutOrABreaker(t *testing.T) {
	e := NewEngine(Options{Now: func() Instant { return epoch }})
	e.Apply([]Spec{spec("a", runRule(1))}, epoch)
	type key struct{}
	ctx := context.WithValue(t.Context(), key{}, 1)
	for _, b := range []*Breaker{nil, e.Breaker(keyA)} {
		err := Do(ctx, b, func(got context.Context) error {
			if _, limited := got.Deadline(); got.Value(key{}) != 1 || limited {
				t.Errorf("context %v, want that of the caller", got)
			}
			return errBroken
		})
		if err != errBroken {
			t.Errorf("error %v, want %v", err, errBroken)
		}
	}
	if got := e.Breaker(keyA).Status(epoch).State; got != Open {
		t.Errorf("state %s, want open", got)
	}
}

// TestExpected: a marked error can still be found, and no error stays no error.
func TestExpected(t *testing.T) {
	if err := Expected(nil); err != nil {
		t.Errorf("Expected(nil) is %v, want nil", err)
	}
	err := Expected(fmt.Errorf("row 7: %w", errBroken))
	if !errors.Is(err, errBroken) || err.Error() != "row 7: broken" {
		t.Errorf("%v, want row 7: broken", err)
	}
}
