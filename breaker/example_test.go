package breaker_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
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

// A program that drives an engine. Nothing calls the breaker after it has tripped: that
// its wait is over is noticed by the loop.
func Example_driving() {
	start := time.Now()
	now := func() breaker.Instant { return breaker.Instant(time.Since(start)) }

	// Listen only notes a transition. Both callbacks wake the loop, and never wait for it.
	var mu sync.Mutex
	var pending []breaker.Transition
	wake := make(chan struct{}, 1)
	wakeUp := func() {
		select {
		case wake <- struct{}{}:
		default: // the loop has not taken the last wake-up yet, and will see this change too
		}
	}
	listen := func(t breaker.Transition) {
		mu.Lock()
		pending = append(pending, t)
		mu.Unlock()
		wakeUp()
	}
	noted := func() []breaker.Transition {
		mu.Lock()
		defer mu.Unlock()
		batch := pending
		pending = nil
		return batch
	}
	engine := breaker.NewEngine(breaker.Options{Listen: listen, Wake: wakeUp, Now: now})

	cfg := breaker.DefaultConfig()
	cfg.ConsecutiveFailures, cfg.WaitDurationInOpenState = 1, 20*time.Millisecond
	key := breaker.Key{Upstream: "payments"}
	engine.Apply([]breaker.Spec{{Key: key, Config: cfg, Lease: time.Second}}, now())
	var saved []breaker.Saved // from an earlier process, with its times on this clock
	engine.Restore(saved, now(), now())

	ctx, stop := context.WithCancel(context.Background())
	handle := func(t breaker.Transition) {
		fmt.Printf("%s: %s to %s, %s\n", t.Key, t.Edge.From, t.Edge.To, t.Edge.Reason)
		if t.Edge.To == breaker.HalfOpen {
			stop() // enough for an example
		}
	}
	drive := func() {
		timer := time.NewTimer(0)
		defer timer.Stop()
		for ctx.Err() == nil {
			select {
			case <-ctx.Done(): // once more, for what has happened until now
			case <-wake: // has room for one; Wake sends without waiting
			case <-timer.C:
			}
			next, due := engine.Advance(now())
			for _, t := range noted() { // by Listen, in order
				handle(t)
			}
			if due {
				timer.Reset(next.Sub(now()))
			} else {
				timer.Stop() // until Wake is called
			}
		}
	}

	permit, _ := engine.Acquire(key, now())
	permit.Done(breaker.Failure, now())
	drive()
	fmt.Println("saved as", engine.ExportLast(now())[0].State)
	// Output:
	// payments: closed to open, consecutive_failures
	// payments: open to half_open, wait_over
	// saved as open
}
