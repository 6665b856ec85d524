package inprocess_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/inprocess"
)

// A query of a database, through the breaker in testdata/database.yaml. An empty result is
// an answer of a healthy database. A database that cannot be reached is a failure, and
// after three in a row calls are rejected at once.
func Example() {
	breakers, err := inprocess.Open(inprocess.Options{}, filepath.Join("testdata", "database.yaml"))
	if err != nil {
		fmt.Println(err)
		return
	}
	var server users // a fake database
	db := server.open()
	defer db.Close()

	nameOf := func(ctx context.Context, id int) (name string, err error) {
		err = breaker.Do(ctx, breakers.Breaker("database"), func(ctx context.Context) error {
			err := db.QueryRowContext(ctx, "SELECT name FROM users WHERE id = $1", id).Scan(&name)
			if errors.Is(err, sql.ErrNoRows) {
				return breaker.Expected(err)
			}
			return err
		})
		return name, err
	}
	show := func(id int) {
		name, err := nameOf(context.Background(), id)
		var open *breaker.OpenError
		switch {
		case errors.As(err, &open): // the call was rejected
			fmt.Println("try again in", open.RetryAfter.Round(time.Second))
		case errors.Is(err, sql.ErrNoRows):
			fmt.Println("there is no user", id)
		case err != nil:
			fmt.Println("error:", err)
		default:
			fmt.Println("user", id, "is", name)
		}
	}
	show(1)
	show(2)
	server.down.Store(true)
	for range 4 {
		show(1)
	}
	// Output:
	// user 1 is Ann
	// there is no user 2
	// error: connection refused
	// error: connection refused
	// error: connection refused
	// try again in 30s
}

// The files and their diagnostics are the same as for the control plane. Require finds a
// misspelt name before the first call.
func ExampleRegistry_Require() {
	breakers, err := inprocess.Open(inprocess.Options{}, filepath.Join("..", "examples", "quickstart", "policies"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(breakers.Require("payments", "stock"))
	fmt.Println(breakers.Require("payments", "stok"))
	// Output:
	// <nil>
	// "stok": there is no such breaker; the policy has payments, stock
}

// A program runs the registry for as long as it runs itself. OnTransition gets each
// transition, with the window that caused it.
func ExampleRegistry_Run() {
	transitions := make(chan breaker.Transition, 10)
	breakers, err := inprocess.Open(inprocess.Options{
		OnTransition: func(t breaker.Transition) { transitions <- t }, // to a log or a metric
	}, filepath.Join("testdata", "database.yaml"))
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- breakers.Run(ctx) }()

	for range 3 {
		err = breaker.Do(ctx, breakers.Breaker("database"), func(context.Context) error {
			return errors.New("connection refused")
		})
	}
	t := <-transitions
	fmt.Printf("%s: %s to %s (%s, %d of %d calls failed)\n",
		t.Key, t.Edge.From, t.Edge.To, t.Edge.Reason, t.Window.Failures, t.Window.Calls)

	stop()
	fmt.Println(<-done, err)
	// Output:
	// database: closed to open (consecutive_failures, 3 of 3 calls failed)
	// <nil> connection refused
}

// A change by hand needs a name, a reason and an end.
func ExampleRegistry_Force() {
	breakers, err := inprocess.Open(inprocess.Options{}, filepath.Join("testdata", "database.yaml"))
	if err != nil {
		fmt.Println(err)
		return
	}
	err = breakers.Force("database", breaker.Override{
		State: breaker.Open,
		By:    "ann",
		Note:  "moving the database to a new host",
		Until: breakers.Now().Add(15 * time.Minute),
	})
	fmt.Println(err)
	err = breaker.Do(context.Background(), breakers.Breaker("database"), func(context.Context) error { return nil })
	fmt.Println(err, errors.Is(err, breaker.ErrOpen))
	fmt.Println(breakers.Reset("database", "ann", "it has moved"))
	// Output:
	// <nil>
	// circuit breaker of database is open true
	// <nil>
}
