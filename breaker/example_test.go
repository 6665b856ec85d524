package breaker_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"breakwater.dev/breaker"
)

var errNoRow = errors.New("no such row")

// database returns the breaker of an upstream that trips at the second failure in a
// row. A program has its engine's clock read the time since it began.
func database(now func() breaker.Instant) *breaker.Breaker {
	cfg := breaker.DefaultConfig()
	cfg.ConsecutiveFailures, cfg.WaitDurationInOpenState = 2, 30*time.Second
	e := breaker.NewEngine(breaker.Options{Now: now})
	key := breaker.Key{Upstream: "database"}
	e.Apply([]breaker.Spec{{Key: key, Config: cfg, Lease: 10 * time.Second, Timeout: 5 * time.Second}}, now())
	return e.Breaker(key)
}

func ExampleDo() {
	start := time.Now()
	db := database(func() breaker.Instant { return breaker.Instant(time.Since(start)) })
	for range 3 {
		err := breaker.Do(context.Background(), db, func(context.Context) error {
			return errors.New("connection refused")
		})
		if errors.Is(err, breaker.ErrOpen) {
			fmt.Println("not called")
		} else {
			fmt.Println(err)
		}
	}
	// Output:
	// connection refused
	// connection refused
	// not called
}

func ExampleOpenError() {
	now := breaker.Instant(0) // a clock that stands still
	db := database(func() breaker.Instant { return now })
	call := func() error {
		return breaker.Do(context.Background(), db, func(context.Context) error { return errors.New("connection refused") })
	}
	fmt.Println(call(), call())
	now = now.Add(20 * time.Second)
	err := call()
	var open *breaker.OpenError
	if errors.As(err, &open) {
		fmt.Println(err)
		fmt.Println("try again in", open.RetryAfter)
	}
	// Output:
	// connection refused connection refused
	// circuit breaker of database is open for another 10s
	// try again in 10s
}

func ExampleExpected() {
	db := database(func() breaker.Instant { return 0 })
	for range 3 {
		err := breaker.Do(context.Background(), db, func(context.Context) error {
			return breaker.Expected(fmt.Errorf("user 7: %w", errNoRow))
		})
		fmt.Println(err, errors.Is(err, errNoRow))
	}
	fmt.Println(db.Status(0).State)
	// Output:
	// user 7: no such row true
	// user 7: no such row true
	// user 7: no such row true
	// closed
}

func ExampleEngine_Acquire() {
	var now breaker.Instant
	e := breaker.NewEngine(breaker.Options{Listen: func(t breaker.Transition) {
		fmt.Printf("%s: %s to %s, %s\n", t.Key, t.Edge.From, t.Edge.To, t.Edge.Reason)
	}})
	cfg := breaker.DefaultConfig()
	cfg.ConsecutiveFailures, cfg.SuccessThreshold = 1, 1
	payments := breaker.Key{Upstream: "payments", Route: "charge"}
	e.Apply([]breaker.Spec{{Key: payments, Config: cfg, Lease: time.Second}}, now)

	permit, _ := e.Acquire(payments, now)
	permit.Done(breaker.Timeout, now.Add(200*time.Millisecond))
	_, decision := e.Acquire(payments, now.Add(time.Second))
	fmt.Println(decision.Admitted, decision.State, decision.RetryAfter)
	permit, _ = e.Acquire(payments, now.Add(time.Minute))
	permit.Done(breaker.Success, now.Add(time.Minute))
	// Output:
	// payments/charge: closed to open, consecutive_failures
	// false open 29.2s
	// payments/charge: open to half_open, wait_over
	// payments/charge: half_open to closed, probes_succeeded
}
