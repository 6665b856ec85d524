package inprocess

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/policy"
)

// Open returns all problems at once, as diagnostics, and no registry.
func TestOpenRefuses(t *testing.T) {
	_, file := opened(t, Options{}, basic)
	for name, tc := range map[string]struct {
		text, variable string
		paths          []string
		want           []string // rules
	}{
		"two problems":    {text: changed(t, "10s", "ten", "Enforce", "Enforced"), paths: []string{file}, want: []string{"not-one-of", "bad-duration"}},
		"no such file":    {text: basic, paths: []string{file + ".gone"}, want: []string{"unreadable-file"}},
		"no path":         {text: basic, want: []string{"no-policies"}},
		"the environment": {text: basic, paths: []string{file}, variable: "many", want: []string{"bad-number"}},
	} {
		t.Run(name, func(t *testing.T) {
			write(t, file, tc.text)
			if tc.variable != "" {
				t.Setenv("CIRCUIT_BREAKER_FAILURE_THRESHOLD", tc.variable)
			}
			r, err := Open(Options{}, tc.paths...)
			var diagnostics policy.Diagnostics
			if !errors.As(err, &diagnostics) || r != nil {
				t.Fatalf("Open = %v, %v; want diagnostics alone", r, err)
			}
			var rules []string
			for _, d := range diagnostics {
				rules = append(rules, d.Rule)
			}
			if got, want := strings.Join(rules, " "), strings.Join(tc.want, " "); got != want {
				t.Errorf("got %q, want %q:\n%v", got, want, err)
			}
		})
	}
}

// Environment variables replace the built-in defaults, as for the control plane.
func TestDefaultsFromTheEnvironment(t *testing.T) {
	t.Setenv("CIRCUIT_BREAKER_SUCCESS_THRESHOLD", "7")
	r, file := opened(t, Options{}, changed(t, ", successThreshold: 1", ""))
	write(t, file, changed(t, ", successThreshold: 1", "", "consecutiveFailures: 2", "consecutiveFailures: 4"))
	if err := r.Reload(); err != nil {
		t.Fatal(err)
	}
	got := status(t, r, "payments").Config
	if got.SuccessThreshold != 7 || got.ConsecutiveFailures != 4 {
		t.Errorf("%d successes, %d failures; want 7 from the environment, 4 from the file", got.SuccessThreshold, got.ConsecutiveFailures)
	}
}

func TestBreaker(t *testing.T) {
	r, _ := opened(t, Options{}, basic)
	for name, want := range map[string]string{
		"payments":         "payments",
		"payments/charge":  "payments/charge",
		"payments/refund":  "payments", // it has no own breaker
		"payments/refunds": "payments",
		"payment":          "",
		"payments@shop-1":  "", // the process is the only node
		"unguarded":        "",
		"":                 "",
	} {
		b := r.Breaker(name)
		switch {
		case b == nil && want != "":
			t.Errorf("%q has no breaker, want %q", name, want)
		case b != nil && b.Status(r.Now()).Key.String() != want:
			t.Errorf("%q is %v, want %q", name, b.Status(r.Now()).Key, want)
		}
	}
	if err := call(r, "payment", 100, errBroken); err != errBroken {
		t.Errorf("a call without a breaker: %v, want its own error", err)
	}
}

func TestRequire(t *testing.T) {
	r, file := opened(t, Options{}, basic)
	if err := r.Require("payments/charge", "payments", "payments/refund"); err != nil {
		t.Error(err)
	}
	err := r.Require("payments", "payment", "payments/refunds", "unguarded")
	want := `"payment", "payments/refunds", "unguarded": there is no such breaker; the policy has payments/charge, payments/refund, payments`
	if err == nil || err.Error() != want || !errors.Is(err, breaker.ErrUnknown) {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	write(t, file, basic[:strings.Index(basic, "---\napiVersion: breakwater.dev/v1alpha1\nkind: BreakerPolicy")])
	if err := r.Reload(); err != nil {
		t.Fatal(err)
	}
	if err := r.Require("payments"); err == nil || err.Error() != `"payments": there is no such breaker; the policy has none` {
		t.Errorf("without policies: %v", err)
	}
}

// Time passes for the breakers although Run is not running.
func TestTimePassesWithoutRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := opened(t, Options{}, basic)
		call(r, "payments", 2, errBroken)
		for _, want := range []time.Duration{30 * time.Second, 20 * time.Second, 10 * time.Second} {
			err := call(r, "payments", 1, nil)
			var open *breaker.OpenError
			if !errors.As(err, &open) || !errors.Is(err, breaker.ErrOpen) {
				t.Fatalf("the call: %v, want that the breaker is open", err)
			}
			if open.RetryAfter != want || !r.Time(open.Until).Equal(time.Now().Add(want)) {
				t.Errorf("open for %v until %v, want for %v", open.RetryAfter, r.Time(open.Until), want)
			}
			time.Sleep(10 * time.Second)
		}
		if got := status(t, r, "payments"); got.State != breaker.HalfOpen || got.RetryAfter != 0 {
			t.Errorf("after its wait the breaker is %v for another %v, want half_open", got.State, got.RetryAfter)
		}
		if err := call(r, "payments", 1, nil); err != nil {
			t.Errorf("the probe: %v", err)
		}
		got := status(t, r, "payments")
		if got.State != breaker.Closed || got.Counts.Rejected != 3 || got.Counts.Failures != 2 || got.Counts.Successes != 1 {
			t.Errorf("in the end: %v, %+v", got.State, got.Counts)
		}
		if got := status(t, r, "payments/charge").Counts; got.Requests != 0 {
			t.Errorf("the route's breaker has counted calls of its upstream: %+v", got)
		}
	})
}

// Each mode handles four failing calls in its own way.
func TestModes(t *testing.T) {
	for mode, want := range map[string]struct {
		calls                 int // calls that reached the upstream
		state                 breaker.State
		rejected, wouldReject uint64
	}{
		"Enforce":     {2, breaker.Open, 2, 0},
		"MetricsOnly": {4, breaker.Open, 0, 2},
		"ForcedOpen":  {0, breaker.Open, 4, 0},
		"Disabled":    {4, breaker.Closed, 0, 0},
	} {
		t.Run(mode, func(t *testing.T) {
			r, _ := opened(t, Options{}, changed(t, "mode: Enforce", "mode: "+mode))
			calls := 0
			for i := range 4 {
				err := breaker.Do(t.Context(), r.Breaker("payments"), func(context.Context) error {
					calls++
					return errBroken
				})
				if rejected := errors.Is(err, breaker.ErrOpen); rejected != (i >= calls) {
					t.Errorf("call %d: %v", i, err)
				}
			}
			s := status(t, r, "payments")
			if calls != want.calls || s.State != want.state || s.Counts.Rejected != want.rejected || s.Counts.WouldReject != want.wouldReject {
				t.Errorf("%d calls, %v, %d rejected, %d would be rejected; want %+v", calls, s.State, s.Counts.Rejected, s.Counts.WouldReject, want)
			}
		})
	}
}

// The policy's timeout ends the context of the call, and the call counts as a failure.
func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := opened(t, Options{}, basic)
		start := time.Now()
		err := breaker.Do(t.Context(), r.Breaker("payments"), func(ctx context.Context) error {
			<-ctx.Done()
			return fmt.Errorf("query: %w", ctx.Err())
		})
		if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took != 10*time.Second {
			t.Errorf("%v after %v, want the policy's deadline of 10s", err, took)
		}
		if got := status(t, r, "payments").Counts; got.Timeouts != 1 || got.Failures != 1 {
			t.Errorf("counted %+v, want one timeout", got)
		}
		err = breaker.Do(t.Context(), r.Breaker("payments/charge"), func(ctx context.Context) error {
			if deadline, ok := ctx.Deadline(); ok {
				return fmt.Errorf("there is a deadline: %v", deadline)
			}
			return nil
		})
		if err != nil {
			t.Errorf("timeout: 0s: %v", err)
		}
	})
}

// The policy sets the outcome of a call whose own context ends first. A reload that changes
// only this setting keeps the breaker as it is.
func TestClientGone(t *testing.T) {
	setting := func(gone string) string {
		return changed(t, "  mode: Enforce\n", "  mode: Enforce\n  classify: {clientGone: "+gone+"}\n")
	}
	r, file := opened(t, Options{}, setting("Ignored"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for gone, want := range map[string]uint64{"Ignored": 0, "Slow": 0, "Failure": 1} {
		write(t, file, setting(gone))
		if err := r.Reload(); err != nil {
			t.Fatal(err)
		}
		before := status(t, r, "payments").Counts
		if err := breaker.Do(ctx, r.Breaker("payments"), func(ctx context.Context) error { return ctx.Err() }); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want that the call was cancelled", gone, err)
		}
		s := status(t, r, "payments")
		if failed := s.Counts.Failures - before.Failures; failed != want || s.Counts.Ignored-before.Ignored != 1-want || s.Generation != 1 {
			t.Errorf("%s: %+v in generation %d, want %d more failures", gone, s.Counts, s.Generation, want)
		}
	}
}

// In process, the scope Node means one breaker, as the scope Mesh does, so a change of the scope has no effect.
func TestScopeNode(t *testing.T) {
	r, file := opened(t, Options{}, changed(t, "scope: Mesh", "scope: Node"))
	call(r, "payments", 2, errBroken)
	handle := r.Breaker("payments")
	write(t, file, basic)
	if err := r.Reload(); err != nil {
		t.Fatal(err)
	}
	if r.Breaker("payments") != handle {
		t.Error("a change of the scope replaced the breaker")
	}
	all := r.Snapshot()
	if len(all) != 2 {
		t.Errorf("%d breakers, want 2", len(all))
	}
	if got := status(t, r, "payments"); got.State != breaker.Open || got.Nodes != 0 {
		t.Errorf("the breaker is %v with %d nodes, want open without nodes", got.State, got.Nodes)
	}
}

func TestReload(t *testing.T) {
	for name, tc := range map[string]struct {
		text  string
		state breaker.State
		fails bool
	}{
		"a comment":            {"# why\n" + basic, breaker.Open, false},
		"another timeout":      {changed(t, "timeout: 10s", "timeout: 9s"), breaker.Open, false},
		"other rules":          {changed(t, "consecutiveFailures: 2", "consecutiveFailures: 3"), breaker.Closed, false},
		"a policy with errors": {changed(t, "consecutiveFailures: 2", "consecutiveFailures: two"), breaker.Open, true},
		"half of a file":       {basic[:len(basic)-10], breaker.Open, true},
		"nothing at all":       {"", breaker.Open, true},
	} {
		t.Run(name, func(t *testing.T) {
			r, file := opened(t, Options{}, basic)
			call(r, "payments", 2, errBroken)
			handle, set := r.Breaker("payments"), r.current.Load()
			write(t, file, tc.text)
			err := r.Reload()
			var diagnostics policy.Diagnostics
			if got := errors.As(err, &diagnostics); got != tc.fails || !got && err != nil {
				t.Errorf("Reload = %v", err)
			}
			if r.Breaker("payments") != handle {
				t.Error("the breaker was replaced")
			}
			if got := r.current.Load() == set; got != tc.fails {
				t.Errorf("the old set is in force: %v", got)
			}
			if got := status(t, r, "payments").State; got != tc.state {
				t.Errorf("the breaker is %v, want %v", got, tc.state)
			}
		})
	}
}

func TestForceAndReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := opened(t, Options{}, basic)
		open := breaker.Override{State: breaker.Open, By: "ann", Note: "migration", Until: r.Now().Add(time.Minute)}
		if err := r.Force("payments", open); err != nil {
			t.Fatal(err)
		}
		if err := call(r, "payments", 1, nil); !errors.Is(err, breaker.ErrOpen) {
			t.Errorf("forced open: %v", err)
		}
		if got := status(t, r, "payments"); got.Override == nil || *got.Override != open {
			t.Errorf("the override is %+v, want %+v", got.Override, open)
		}
		time.Sleep(time.Minute)
		if got := status(t, r, "payments"); got.State != breaker.HalfOpen || got.Override != nil {
			t.Errorf("after the end of the override the breaker is %v, %+v; want half_open", got.State, got.Override)
		}
		if err := r.Reset("payments", "ann", "it is fine"); err != nil {
			t.Fatal(err)
		}
		if got := status(t, r, "payments").State; got != breaker.Closed {
			t.Errorf("after a reset the breaker is %v, want closed", got)
		}
		// Changes by hand need the exact name: a route does not stand for its upstream's breaker.
		for _, name := range []string{"payments/refund", "payment"} {
			open.Until = r.Now().Add(time.Minute)
			for _, err := range []error{r.Force(name, open), r.Reset(name, "ann", "none")} {
				if !errors.Is(err, breaker.ErrUnknown) || !strings.Contains(err.Error(), name) {
					t.Errorf("%s: %v; want ErrUnknown with the name", name, err)
				}
			}
		}
	})
}

// Calls, reloads and changes by hand at the same time lose no call. The race detector checks the rest.
func TestConcurrentUse(t *testing.T) {
	r, file := opened(t, Options{}, basic)
	const callers, each = 4, 500
	var calling, changing sync.WaitGroup
	done := make(chan struct{})
	again := func(do func(i int)) {
		changing.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
					do(i)
				}
			}
		})
	}
	texts := []string{basic, changed(t, "consecutiveFailures: 2", "consecutiveFailures: 3"), "broken"}
	again(func(i int) {
		write(t, file, texts[i%len(texts)])
		if err := r.Reload(); (err != nil) != (i%len(texts) == 2) {
			t.Errorf("reload %d: %v", i, err)
		}
	})
	again(func(int) { r.Snapshot() })
	again(func(i int) {
		o := breaker.Override{State: breaker.Open, By: "test", Note: "test", Until: r.Now().Add(time.Hour)}
		if err := r.Force("payments", o); err != nil {
			t.Error(err)
		}
		if err := r.Reset("payments", "test", "test"); err != nil {
			t.Error(err)
		}
	})
	for range callers {
		calling.Go(func() {
			for i := range each {
				var err error
				if i%3 == 0 {
					err = errBroken
				}
				if got := call(r, "payments", 1, err); got != err && !errors.Is(got, breaker.ErrOpen) {
					t.Errorf("Do = %v, want %v or that the breaker is open", got, err)
				}
			}
		})
	}
	calling.Wait()
	close(done)
	changing.Wait()
	c := status(t, r, "payments").Counts
	if c.Requests != callers*each || c.Rejected+c.Successes+c.Failures != c.Requests {
		t.Errorf("counted %+v, want %d requests", c, callers*each)
	}
}

// TestAllocations shows that a call through a closed breaker, found by its name, allocates
// no memory. With a timeout it allocates only the context that has the deadline.
func TestAllocations(t *testing.T) {
	r, _ := opened(t, Options{}, basic)
	for name, want := range map[string]float64{"payments/charge": 0, "payments": 4, "payment": 0} {
		n := 0
		f := func(context.Context) error { n++; return nil }
		ctx := t.Context()
		got := testing.AllocsPerRun(1000, func() {
			if err := breaker.Do(ctx, r.Breaker(name), f); err != nil {
				t.Error(err)
			}
		})
		if got != want {
			t.Errorf("%s: %v allocations, want %v", name, got, want)
		}
	}
}
