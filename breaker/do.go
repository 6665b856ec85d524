package breaker

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrOpen is what the error of a call that was not made is; see [OpenError].
var ErrOpen = errors.New("circuit breaker is open")

// OpenError is the error of [Do] for a call that it did not make.
type OpenError struct {
	Key   Key
	State State // Open, or HalfOpen when all probes are out, or Closed in the ramp
	// RetryAfter is how long the breaker will go on rejecting, 0 where that is not
	// known; Until is when that ends, the present where it is not known.
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

// expected is an error that is an answer.
type expected struct{ error }

// Unwrap returns the error itself.
func (e expected) Unwrap() error { return e.error }

// Expected marks an error as an answer of the upstream, such as "no such row": to [Do]
// the call succeeded. The error may be wrapped further. Expected(nil) is nil.
func Expected(err error) error {
	if err == nil {
		return nil
	}
	return expected{err}
}

// Do calls fn if b admits it, and tells b what became of it. The error is that of
// fn, or an [OpenError] when fn was not called. With a nil b it is fn's, always.
//
// The context that fn gets ends at the policy's timeout. A call fails when fn
// returns an error that is not [Expected], and when it panics: the panic goes on. It
// fails as a timeout when it ended after the policy's timeout, and when its error says
// so (by a method Timeout, as those of package net).
//
// A caller whose ctx was cancelled, or had a deadline of its own that passed, says
// nothing about the upstream by that. When fn returns an error then, and the policy's
// timeout has not passed, the call is what the policy says of such calls: as a rule it
// counts as a slow call if it had become slow, and is ignored if not. See [Spec.ClientGone].
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
	terms := b.terms()
	outcome := Failure // as long as nothing better is known: fn may panic
	defer func() { permit.Done(outcome, now()) }()
	limited, cancel := ctx, context.CancelFunc(func() {})
	if terms.timeout > 0 {
		limited, cancel = context.WithTimeout(ctx, terms.timeout)
	}
	defer cancel()
	err := fn(limited)
	ended := limited.Err() // read before that of ctx, of which it may be
	left := ctx.Err() != nil
	late := !left && errors.Is(ended, context.DeadlineExceeded) || left && terms.timeout > 0 && now().Sub(at) >= terms.timeout
	outcome = outcomeOf(err, late, left, terms.gone)
	return err
}

// timeoutError is how errors of package net, and many others, say that they are one.
type timeoutError interface {
	error
	Timeout() bool
}

// outcomeOf is what became of a call that returned err: late, after the policy's timeout,
// or when its caller had left.
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

func (b *Breaker) terms() *terms {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.spec
}
