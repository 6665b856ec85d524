package breaker

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrOpen is the error of a call that was not made; errors.Is finds it in an [OpenError].
var ErrOpen = errors.New("circuit breaker is open")

// OpenError is the error of [Do] for a call that it did not make.
type OpenError struct {
	Key   Key
	State State // Open; HalfOpen when all permits for probes are out; Closed in the ramp
	// RetryAfter is how long the breaker will go on rejecting, 0 where that is not
	// known. Until is when that ends, or the present where it is not known.
	RetryAfter time.Duration
	Until      Instant
}

// Error says which breaker, and until when.
func (e *OpenError) Error() string {
	if e.RetryAfter > 0 {
		return fmt.Sprintf("circuit breaker of %s is %s for another %s", e.Key, e.State, e.RetryAfter.Round(time.Millisecond))
	}
	return fmt.Sprintf("circuit breaker of %s is %s", e.Key, e.State)
}

// Unwrap makes errors.Is(err, ErrOpen) true.
func (e *OpenError) Unwrap() error { return ErrOpen }

// expected marks an error as an answer of the upstream.
type expected struct{ error }

// Unwrap returns the error itself.
func (e expected) Unwrap() error { return e.error }

// Expected marks an error as an answer of the upstream, such as "no such row", so that
// [Do] counts the call as a success. The error may be wrapped further. Expected(nil) is nil.
func Expected(err error) error {
	if err == nil {
		return nil
	}
	return expected{err}
}

// Do calls fn if b admits the call, and counts its outcome. The error is fn's, or an
// [OpenError] when fn was not called. With a nil b, Do calls fn and does nothing else.
//
// The context that fn gets ends at the policy's timeout. A call fails when fn returns an
// error that is not [Expected], and when fn panics: the panic goes on. It fails as a timeout
// when it ended after the policy's timeout, and when its error says so (by a method
// Timeout, which the errors of package net have).
//
// A caller whose ctx was cancelled, or had a deadline of its own that passed, says
// nothing about the upstream by that. When fn returns an error then, and the policy's
// timeout has not passed, the policy says what the call counts as; see
// [Spec.ClientGone]. By default it counts as a slow call if it had become slow, and is
// ignored if not.
//
// The engine of b must have a clock, [Options.Now].
func Do(ctx context.Context, b *Breaker, fn func(context.Context) error) error {
	if b == nil {
		return fn(ctx)
	}
	now := b.engine.now
	at := now()
	permit, decision := b.Acquire(at)
	if !decision.Admitted {
		return &OpenError{Key: b.key(), State: decision.State, RetryAfter: decision.RetryAfter, Until: at.Add(decision.RetryAfter)}
	}
	params := b.policy()
	outcome := Failure // until more is known: fn may panic
	defer func() { permit.Done(outcome, now()) }()
	limited, cancel := ctx, context.CancelFunc(func() {})
	if params.timeout > 0 {
		limited, cancel = context.WithTimeout(ctx, params.timeout)
	}
	defer cancel()
	err := fn(limited)
	ended := limited.Err() // read first, since an end of ctx ends limited too
	left := ctx.Err() != nil
	late := !left && errors.Is(ended, context.DeadlineExceeded) || left && params.timeout > 0 && now().Sub(at) >= params.timeout
	outcome = outcomeOf(err, late, left, params.gone)
	return err
}

// timeoutError is implemented by errors that may be timeouts, in package net and elsewhere.
type timeoutError interface {
	error
	Timeout() bool
}

// outcomeOf returns the outcome of a call that returned err. late says that the policy's
// timeout had passed, and left that the caller had gone.
func outcomeOf(err error, late, left bool, gone ClientGone) Outcome {
	_, answer := errors.AsType[expected](err)
	timeout, timed := errors.AsType[timeoutError](err)
	switch {
	case late:
		return Timeout
	case err == nil, answer:
		return Success
	case left:
		return gone.Outcome()
	case timed && timeout.Timeout():
		return Timeout
	default:
		return Failure
	}
}

// policy returns what the policy says now.
func (b *Breaker) policy() *params {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.params
}
