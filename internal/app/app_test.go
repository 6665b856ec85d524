package app

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"breakwater.dev/breaker"
	"breakwater.dev/internal/exposition"
	"breakwater.dev/internal/guard"
	"breakwater.dev/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	good = `apiVersion: breakwater.dev/v1alpha1
kind: Upstream
metadata: {name: payments}
spec: {hosts: [payments], protocol: HTTP1, endpoints: [{address: 10.0.0.7, port: 80}]}
---
apiVersion: breakwater.dev/v1alpha1
kind: BreakerPolicy
metadata: {name: payments}
spec:
  targetRefs: [{kind: Upstream, name: payments}]
  dataPath: Inline
  breaker: {consecutiveFailures: 2}
`
	misspelt = "apiVersion: breakwater.dev/v1alpha1\nkind: Upstreem\n"
)

// options returns the options of a control plane on free ports, with its policy in a file.
func options(t *testing.T, text string) Options {
	t.Helper()
	file := filepath.Join(t.TempDir(), "policy.yaml")
	write(t, file, text)
	return Options{
		Policy: []string{file}, XDSListen: "127.0.0.1:0", HTTPListen: "127.0.0.1:0",
		DrainTimeout: 5 * time.Second, Log: slog.New(slog.DiscardHandler),
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

var payments = breaker.Key{Upstream: "payments"}

// TestReloadThatFailsChangesNothing shows that a reload that fails leaves every live pointer as it was, and the state
// behind each pointer.
func TestReloadThatFailsChangesNothing(t *testing.T) {
	// This policy has no mistakes, but cannot be translated.
	reserved := strings.ReplaceAll(good, "payments", "breakwater")
	for name, bad := range map[string]string{"not a policy": misspelt, "not translatable": reserved} {
		t.Run(name, func(t *testing.T) {
			o := options(t, good)
			a := publishing(t, o)
			if err := a.reload(); err != nil {
				t.Fatal(err)
			}
			set, handle := a.current.Load(), a.engine.Breaker(payments)
			if handle == nil {
				t.Fatal("the policy has no breaker in the engine")
			}
			for range 2 {
				permit, _ := handle.Acquire(a.clock.Now())
				permit.Done(breaker.Failure, a.clock.Now())
			}
			write(t, o.Policy[0], bad)
			err := a.reload()
			if err == nil {
				t.Fatal("the policy was accepted")
			}
			a.refused(err)
			if a.current.Load() != set {
				t.Error("the current set was replaced")
			}
			if a.engine.Breaker(payments) != handle {
				t.Error("the engine's breaker was replaced")
			}
			if got := handle.Status(a.clock.Now()); got.State != breaker.Open {
				t.Errorf("the breaker is %v after the reload, and was open before", got.State)
			}
			if got, want := len(a.engine.Snapshot(a.clock.Now())), 1; got != want {
				t.Errorf("%d breakers, want %d", got, want)
			}
			if got, connected := a.xds.Calls("any"); connected || len(got) > 0 {
				t.Errorf("Calls = %v, %v", got, connected)
			}
		})
	}
}

// TestReloadPutsInForce shows that a policy with the same meaning keeps breakers as they are, and that a change of a
// breaker's rules restarts it.
func TestReloadPutsInForce(t *testing.T) {
	o := options(t, good)
	a := publishing(t, o)
	if err := a.reload(); err != nil {
		t.Fatal(err)
	}
	first, generation := a.current.Load(), a.engine.Breaker(payments).Status(0).Generation
	write(t, o.Policy[0], "# a comment\n"+good)
	if err := a.reload(); err != nil {
		t.Fatal(err)
	}
	if a.current.Load() == first || a.current.Load().Revision != first.Revision {
		t.Error("a comment must give a new set of the same revision")
	}
	if got := a.engine.Breaker(payments).Status(a.clock.Now()).Generation; got != generation {
		t.Error("a comment restarted the breaker")
	}
	write(t, o.Policy[0], strings.Replace(good, "consecutiveFailures: 2", "consecutiveFailures: 3", 1))
	if err := a.reload(); err != nil {
		t.Fatal(err)
	}
	got := a.engine.Breaker(payments).Status(a.clock.Now())
	if got.Generation == generation || got.Config.ConsecutiveFailures != 3 {
		t.Errorf("the breaker whose rules changed is %+v; want another generation and the new rules", got)
	}
}

// TestPlainText shows on which addresses proxies may connect in plain text without --insecure.
func TestPlainText(t *testing.T) {
	for listen, want := range map[string]bool{
		"127.0.0.1:1": true, "127.8.9.1:1": true, "localhost:1": true, "[::1]:1": true, "[::ffff:127.0.0.1]:1": true,
		"0.0.0.0:1": false, "[::]:1": false, ":1": false, "10.0.0.1:1": false, "localhost.example:1": false, "payments:1": false,
	} {
		a := &app{options: Options{XDSListen: listen}}
		err := a.checkPlainText()
		if got := err == nil; got != want {
			t.Errorf("%s: %v; want that plain text is allowed: %v", listen, err, want)
		}
		if err != nil && !strings.Contains(err.Error(), "--insecure") {
			t.Errorf("%s: %v; must name the flag that allows it", listen, err)
		}
		a.options.Insecure = true
		if err := a.checkPlainText(); err != nil {
			t.Errorf("%s with --insecure: %v", listen, err)
		}
	}
	for _, listen := range []string{"127.0.0.1", "localhost", ""} {
		a := &app{options: Options{XDSListen: listen, Insecure: true}}
		if err := a.checkPlainText(); err == nil || !strings.Contains(err.Error(), "host:port") {
			t.Errorf("%q: %v; want an error that says host:port", listen, err)
		}
	}
}

// TestRunUntilTheContextEnds shows that Run serves until its context ends, and then closes both ports.
func TestRunUntilTheContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o := options(t, good)
	var xdsAddress, httpAddress string
	started := make(chan struct{})
	o.Started = func(x, h net.Addr) {
		xdsAddress, httpAddress = x.String(), h.String()
		close(started)
	}
	done := make(chan error, 1)
	go func() { done <- Run(ctx, o) }()
	select {
	case <-started:
	case err := <-done:
		t.Fatalf("Run has returned before it served: %v", err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	response, err := client.Get("http://" + httpAddress + "/health/ready")
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil {
		t.Error(err)
	}
	if response.StatusCode != http.StatusOK {
		t.Errorf("GET /health/ready: %s", response.Status)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
	for _, address := range []string{xdsAddress, httpAddress} {
		if conn, err := net.DialTimeout("tcp", address, time.Second); err == nil {
			t.Errorf("the port %s is still open", address)
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestRunCannotStart shows the errors of a control plane that cannot start, and that it leaves nothing behind. TestMain
// looks for goroutines.
func TestRunCannotStart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := taken.Close(); err != nil {
			t.Error(err)
		}
	}()
	tests := map[string]struct {
		change func(*Options)
		want   string
	}{
		"port for proxies taken": {func(o *Options) { o.XDSListen = taken.Addr().String() }, "cannot listen for proxies on " + taken.Addr().String()},
		"HTTP port taken":        {func(o *Options) { o.HTTPListen = taken.Addr().String() }, "cannot listen for HTTP on " + taken.Addr().String()},
		"plain text":             {func(o *Options) { o.XDSListen = "0.0.0.0:0" }, "--insecure"},
		"half of TLS":            {func(o *Options) { o.TLS.CertFile = "x" }, "give all three"},
		"no policy":              {func(o *Options) { o.Policy = nil }, "no-policies"},
		"a bad policy":           {func(o *Options) { write(t, o.Policy[0], misspelt) }, "Upstreem"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			o := options(t, good)
			tt.change(&o)
			o.Started = func(_, _ net.Addr) { t.Error("the control plane has started") }
			var log strings.Builder
			o.Log = slog.New(slog.NewTextHandler(&log, nil))
			if err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Run = %v; want an error that says %q", err, tt.want)
			}
			if strings.Contains(log.String(), "policy in force") {
				t.Errorf("no client is served, and the log says that a policy is in force:\n%s", log.String())
			}
		})
	}
}

// TestTheStartLogsSurprises shows that the start logs the notes and the warning about a policy, as a reload does, and that
// an equal policy does not log them again.
func TestTheStartLogsSurprises(t *testing.T) {
	o := options(t, strings.NewReplacer("port: 80}]}", "port: 80}], callers: [shop]}",
		"dataPath: Inline", "fallback: {cached: {keyHeaders: []}}").Replace(good))
	var log strings.Builder
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	a := publishing(t, o)
	if err := a.reload(); err != nil {
		t.Fatal(err)
	}
	a.announce()
	if err := a.reload(); err != nil { // the watcher does this when it begins to watch
		t.Fatal(err)
	}
	for _, want := range []string{"the policy is right and may surprise", "give --node-identity"} {
		if got := strings.Count(log.String(), want); got != 1 {
			t.Errorf("%q is in the log %d times, want once:\n%s", want, got, log.String())
		}
	}
}

// TestTheSameRefusalIsLoggedOnce shows that the same problems are logged once, and again after a policy was accepted.
func TestTheSameRefusalIsLoggedOnce(t *testing.T) {
	o := options(t, good)
	var log strings.Builder
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	a := publishing(t, o)
	load := func(text string) {
		t.Helper()
		write(t, o.Policy[0], text)
		if err := a.reload(); err != nil {
			a.refused(err)
		}
	}
	for i, step := range []struct {
		text string
		want int // log lines about the problem
	}{{good, 0}, {misspelt, 1}, {misspelt, 1}, {misspelt + "x: 1\n", 2}, {good, 2}, {misspelt, 3}} {
		load(step.text)
		if got := strings.Count(log.String(), "Upstreem"); got != step.want {
			t.Errorf("step %d: the log has the problem %d times, want %d:\n%s", i, got, step.want, log.String())
		}
	}
}

// TestARefusedPolicyThatIsPutBack shows that the log and the metrics report the end of a refusal when the files have the
// policy in force again.
func TestARefusedPolicyThatIsPutBack(t *testing.T) {
	o := options(t, good)
	var log strings.Builder
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	a := publishing(t, o)
	for _, text := range []string{good, misspelt, good, good} {
		write(t, o.Policy[0], text)
		if err := a.reload(); err != nil {
			a.refused(err)
		}
	}
	if got := strings.Count(log.String(), "policy is again the one in force"); got != 1 {
		t.Errorf("the log has the end of the refusal %d times, want once:\n%s", got, log.String())
	}
	if page := exposition.Scrape(t, a.api.Handler()); !strings.Contains(page, "breakwater_reload_last_successful 1\n") {
		t.Errorf("the metrics do not report that the last reload was successful:\n%s", page)
	}
}

// publishing returns an app without a policy that publishes gates until the test ends.
func publishing(t *testing.T, o Options) *app {
	a := made(t, o, nil)
	t.Cleanup(a.publishGates(t.Context()))
	return a
}

// made returns a control plane whose parts do not run.
func made(t *testing.T, o Options, rules *guard.Rules) *app {
	t.Helper()
	a, err := newApp(o, policy.BuiltinDefaults(), rules)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
