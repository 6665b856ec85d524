// Command bench measures the responses that callers of the shop get while each of its
// dependencies is broken, with breakers and without, side by side.
//
// In: bin/breakwater, bin/shop, an Envoy, PostgreSQL and Redis; how long each case takes.
// Out: a table for README.md, on standard output.
// Called by: make bench-shop.
// Never: compares figures of different runs.
// Concurrency: both shops run all the time; only one at a time has callers.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"breakwater.dev/examples/shop/stand"
	"breakwater.dev/internal/processes"
)

const (
	// patience is how long a caller waits for a response.
	patience = 30 * time.Second
	// warmUsers is how many users are cached when a case begins.
	warmUsers = stand.Users / 2
)

func main() {
	rate := flag.Int("rate", 100, "calls per second, even if earlier calls have no response yet")
	lasts := flag.Duration("time", 30*time.Second, "how long callers call in each case")
	flag.Parse()
	ctx, stop := processes.Interruptible()
	err := run(ctx, *rate, *lasts)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-shop:", err)
		os.Exit(1)
	}
}

// fault is a way to break a dependency.
type fault struct {
	name string
	// breaks breaks the dependency, and mends mends it.
	breaks, mends func(context.Context, *stand.Stand) error
}

func faults() []fault {
	none := func(context.Context, *stand.Stand) error { return nil }
	stopRedis := func(_ context.Context, s *stand.Stand) error { return s.Redis.Stop() }
	startRedis := func(ctx context.Context, s *stand.Stand) error { return s.Redis.Start(ctx) }
	stopDatabase := func(_ context.Context, s *stand.Stand) error { return s.Database.Stop() }
	startDatabase := func(ctx context.Context, s *stand.Stand) error { return s.Database.Start(ctx) }
	works := func(_ context.Context, s *stand.Stand) error { s.API.Works(); return nil }
	return []fault{
		{"nothing", none, none},
		{"Redis stopped", stopRedis, startRedis},
		{"PostgreSQL stopped", stopDatabase, startDatabase},
		{"queries hang", func(ctx context.Context, s *stand.Stand) error { return s.Database.Hold(ctx) },
			func(ctx context.Context, s *stand.Stand) error { return s.Database.Release(ctx) }},
		{"the API fails", func(_ context.Context, s *stand.Stand) error { s.API.Fails(); return nil }, works},
		{"the API hangs", func(_ context.Context, s *stand.Stand) error { s.API.Hangs(); return nil }, works},
		{"all stopped or failing",
			func(ctx context.Context, s *stand.Stand) error {
				s.API.Fails()
				return errors.Join(stopRedis(ctx, s), stopDatabase(ctx, s))
			},
			func(ctx context.Context, s *stand.Stand) error {
				s.API.Works()
				return errors.Join(startRedis(ctx, s), startDatabase(ctx, s))
			}},
	}
}

func run(ctx context.Context, rate int, lasts time.Duration) (err error) {
	var stands [2]*stand.Stand
	for i, plain := range []bool{false, true} {
		// A short recovery lets breakers close between two cases. Within a case they try again
		// every 5 s, too, more often than with the policy's times.
		s, err := stand.New(ctx, stand.Options{Root: ".", Plain: plain, Recovery: 5 * time.Second})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.Close()) }()
		stands[i] = s
	}
	fmt.Printf("%d calls a second for %s in each case; %d of %d users are cached when it begins.\n\n", rate, lasts, warmUsers, stand.Users)
	fmt.Println("| broken | good answers | of them degraded | p50 | p90 | p99 | plain Envoy: good answers | of them degraded | p50 | p90 | p99 |\n|---|---|---|---|---|---|---|---|---|---|---|")
	for _, f := range faults() {
		line := "| " + f.name
		for _, s := range stands {
			got, err := measure(ctx, s, f, rate, lasts)
			if err != nil {
				return fmt.Errorf("%s: %w\n%s", f.name, err, s.Logs())
			}
			line += got.String()
		}
		fmt.Println(line + " |")
	}
	return nil
}

// measure breaks a dependency, calls the shop, mends the dependency, and waits until the shop has recovered.
func measure(ctx context.Context, s *stand.Stand, f fault, rate int, lasts time.Duration) (result, error) {
	c := &callers{url: s.URL(), client: &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 1000}}}
	defer c.client.CloseIdleConnections()
	if err := s.Redis.Empty(ctx); err != nil {
		return result{}, err
	}
	for id := 1; id <= warmUsers; id++ {
		if err := c.complete(ctx, id); err != nil {
			return result{}, fmt.Errorf("before anything is broken: %w", err)
		}
	}
	if err := f.breaks(ctx, s); err != nil {
		return result{}, err
	}
	got := c.drive(ctx, rate, lasts)
	if err := f.mends(ctx, s); err != nil {
		return result{}, err
	}
	return got, c.recovered(ctx, s)
}

type callers struct {
	url    string
	client *http.Client
}

// result counts the responses that callers got.
type result struct {
	good, degraded, all int             // degraded ones are good, too
	times               []time.Duration // sorted
}

func (r result) String() string {
	at := func(percent int) time.Duration { return r.times[(len(r.times)-1)*percent/100] }
	share := func(n int) float64 { return 100 * float64(n) / float64(r.all) }
	return fmt.Sprintf(" | %.1f %% | %.1f %% | %s | %s | %s", share(r.good), share(r.degraded), rounded(at(50)), rounded(at(90)), rounded(at(99)))
}

// rounded prints a duration with a precision that the measurement supports.
func rounded(d time.Duration) string {
	if d < 10*time.Millisecond {
		return fmt.Sprintf("%.1f ms", d.Seconds()*1e3)
	}
	if d < time.Second {
		return fmt.Sprintf("%.0f ms", d.Seconds()*1e3)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// drive calls at a steady rate, even if earlier calls have no response yet, as many independent
// callers do. It then waits for all responses.
func (c *callers) drive(ctx context.Context, rate int, lasts time.Duration) result {
	var mu sync.Mutex
	var got result
	var calls sync.WaitGroup
	users := rand.New(rand.NewPCG(1, 2)) // the same users in each case
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for n := int(lasts.Seconds() * float64(rate)); n > 0 && ctx.Err() == nil; n-- {
		<-tick.C
		id := 1 + users.IntN(stand.Users)
		calls.Go(func() {
			begun := time.Now()
			status, degraded := c.get(ctx, id)
			took := time.Since(begun)
			mu.Lock()
			defer mu.Unlock()
			got.all++
			got.times = append(got.times, took)
			if status == http.StatusOK {
				got.good++
			}
			if degraded {
				got.degraded++
			}
		})
	}
	calls.Wait()
	slices.Sort(got.times)
	return got
}

// get requests a user. The status is 0 if there was no response.
func (c *callers) get(ctx context.Context, id int) (status int, degraded bool) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/users/%d", c.url, id), nil)
	if err != nil {
		return 0, false
	}
	resp, err := c.client.Do(r)
	if err != nil {
		return 0, false
	}
	defer resp.Body.Close()
	var body struct {
		Degraded []string `json:"degraded"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
		return 0, false
	}
	return resp.StatusCode, len(body.Degraded) > 0
}

func (c *callers) complete(ctx context.Context, id int) error {
	if status, degraded := c.get(ctx, id); status != http.StatusOK || degraded {
		return fmt.Errorf("user %d: status %d, degraded %t", id, status, degraded)
	}
	return nil
}

// recovered waits until 20 responses in a row are complete and every breaker is closed.
func (c *callers) recovered(ctx context.Context, s *stand.Stand) error {
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	for run := 0; run < 20; {
		err := c.complete(ctx, 1+rand.IntN(stand.Users))
		if err == nil {
			err = s.AllClosed(ctx)
		}
		run++
		if err != nil {
			run = 0
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it did not recover: %w", errors.Join(err, ctx.Err()))
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}
