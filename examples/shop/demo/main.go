// Command demo breaks the dependencies of the shop, one after the other, and shows the responses
// that its callers get.
//
// In: bin/breakwater, bin/shop, an Envoy, PostgreSQL and Redis; DEMO_SECONDS, to end that long after the story instead of at Ctrl-C.
// Out: the story as it happens, on standard output.
// Called by: make example-shop.
// Never: leaves a process behind.
// Concurrency: several demos can run at once.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"breakwater.dev/examples/shop/stand"
	"breakwater.dev/internal/processes"
)

// recovery is how long breakers stay open in the demo; in the policies it is 15 s to a minute.
const recovery = 2 * time.Second

func main() {
	ctx, stop := processes.Interruptible()
	err := run(ctx)
	stop()
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "shop:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	stay, err := processes.DemoSeconds()
	if err != nil {
		return err
	}
	fmt.Println("Starting PostgreSQL, Redis, an API, the control plane, Envoy and the shop ...")
	s, err := stand.New(ctx, stand.Options{Root: ".", Recovery: recovery})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	fmt.Printf("The shop serves at %s; its breakers stay open for %s here, and longer by its policy.\n", s.URL(), recovery)
	t := &visitor{stand: s, next: 1}
	if err := t.tell(ctx); err != nil {
		return err
	}
	fmt.Printf("\nThat is all. Try it while it runs:\n  curl -i %s/users/7\n  curl -i %s/health/ready\n  curl %s/health/services\n  curl %s/metrics\n",
		s.URL(), s.URL(), s.ControlPlane(), s.ControlPlane())
	if stay == 0 {
		fmt.Println("Ctrl-C ends it.")
		<-ctx.Done()
		return nil
	}
	return pause(ctx, stay)
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// visitor makes calls and prints the responses.
type visitor struct {
	stand *stand.Stand
	next  int // counts the users that nextUser has returned
}

// act breaks a dependency and mends it.
type act struct {
	title       string
	breaks, fix func(context.Context) error
}

func (t *visitor) tell(ctx context.Context) error {
	s := t.stand
	nothing := func(f func()) func(context.Context) error {
		return func(context.Context) error { f(); return nil }
	}
	plain := func(f func() error) func(context.Context) error {
		return func(context.Context) error { return f() }
	}
	acts := []act{
		{"Redis is stopped: the cache is not needed", plain(s.Redis.Stop), s.Redis.Start},
		{"The API fails: its part of the answer is left out", nothing(s.API.Fails), nothing(s.API.Works)},
		{"The API is slow: callers wait until its breaker opens, and no longer", nothing(s.API.Hangs), nothing(s.API.Works)},
		{"PostgreSQL is stopped: what is cached is served, the rest is refused at once", plain(s.Database.Stop), s.Database.Start},
		{"Queries hang: only the breaker in the shop can see that", s.Database.Hold, s.Database.Release},
	}
	fmt.Println("\n== All is well")
	t.call(ctx, 2)
	t.callers(ctx)
	for _, a := range acts {
		fmt.Printf("\n== %s\n", a.title)
		if err := a.breaks(ctx); err != nil {
			return err
		}
		for range 3 {
			t.callers(ctx)
			if err := pause(ctx, time.Second/2); err != nil {
				return err
			}
		}
		t.states(ctx)
		if err := a.fix(ctx); err != nil {
			return err
		}
		if err := t.waitUntilRecovered(ctx); err != nil {
			return err
		}
	}
	return nil
}

// callers makes twelve calls at a time, two of them for cached users. It prints the responses and how long they took.
func (t *visitor) callers(ctx context.Context) {
	const wave = 12
	type got struct {
		what string
		took time.Duration
	}
	all := make([]got, wave)
	var calls sync.WaitGroup
	for i := range wave {
		id := 1 + i
		if i >= 2 {
			id = t.nextUser()
		}
		calls.Go(func() {
			begun := time.Now()
			what := t.call(ctx, id)
			all[i] = got{what, time.Since(begun)}
		})
	}
	calls.Wait()
	times := map[string][]float64{}
	var order []string
	for _, g := range all {
		if times[g.what] == nil {
			order = append(order, g.what)
		}
		times[g.what] = append(times[g.what], g.took.Seconds())
	}
	for _, what := range order {
		fmt.Printf("  %2d x %s, in %.2f to %.2f s\n", len(times[what]), what, slices.Min(times[what]), slices.Max(times[what]))
	}
}

// nextUser returns a user that is probably not cached.
func (t *visitor) nextUser() int {
	t.next++
	return 3 + t.next%(stand.Users-2)
}

// call requests a user and describes the response in a few words.
func (t *visitor) call(ctx context.Context, id int) string {
	var body struct {
		Source   string   `json:"source"`
		Degraded []string `json:"degraded"`
		Error    string   `json:"error"`
	}
	status, err := t.get(ctx, fmt.Sprintf("%s/users/%d", t.stand.URL(), id), &body)
	switch {
	case err != nil:
		return "no answer"
	case status != http.StatusOK:
		return fmt.Sprintf("%d %s", status, body.Error)
	case len(body.Degraded) > 0:
		return fmt.Sprintf("200 from the %s, without %s", body.Source, strings.Join(body.Degraded, ", "))
	}
	return "200 from the " + body.Source
}

func (t *visitor) get(ctx context.Context, url string, into any) (int, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	return resp.StatusCode, json.NewDecoder(resp.Body).Decode(into)
}

func (t *visitor) states(ctx context.Context) {
	var ready struct {
		Status string `json:"status"`
	}
	states, err := t.stand.States(ctx)
	if err != nil {
		return // the next step returns the error
	}
	if _, err := t.get(ctx, t.stand.URL()+"/health/ready", &ready); err != nil {
		return
	}
	var words []string
	for _, name := range slices.Sorted(maps.Keys(states)) {
		words = append(words, name+" "+states[name])
	}
	fmt.Printf("  breakers of the mesh: %s; the shop is %s\n", strings.Join(words, ", "), ready.Status)
}

// waitUntilRecovered waits until all breakers are closed and responses are complete.
func (t *visitor) waitUntilRecovered(ctx context.Context) error {
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	for {
		answer := t.call(ctx, t.nextUser())
		err := t.stand.AllClosed(ctx)
		if err == nil && strings.HasPrefix(answer, "200") && !strings.Contains(answer, "without") {
			t.call(ctx, 1) // cached again
			t.call(ctx, 2)
			fmt.Printf("  mended; all breakers closed after %.1f s, and only stopped servers were restarted\n", time.Since(begun).Seconds())
			return nil
		}
		if pause(ctx, 50*time.Millisecond) != nil {
			return fmt.Errorf("it did not recover: %s, %w", answer, err)
		}
	}
}
