package stand_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"breakwater.dev/examples/shop/stand"
)

// bin is where the built programs are.
var bin string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "breakwater-shop-bin")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	bin = dir
	for _, args := range [][]string{
		{"build", "-C", "../../..", "-o", filepath.Join(dir, "breakwater"), "./cmd/controlplane"},
		{"build", "-o", filepath.Join(dir, "shop"), ".."},
	} {
		if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "go %s: %v\n%s", strings.Join(args, " "), err, out)
			return 1
		}
	}
	return m.Run()
}

// rig is a shop with everything, whose users have ids that no test has used.
type rig struct {
	*stand.Stand
	client *http.Client
	next   int
}

// answer is what a caller got.
type answer struct {
	status int
	header http.Header
	view
	problem
}

// view is a user, as the shop shows one.
type view struct {
	ID       int64           `json:"id"`
	Name     string          `json:"name"`
	Email    string          `json:"email"`
	Profile  json.RawMessage `json:"profile"`
	Degraded []string        `json:"degraded"`
	Source   string          `json:"source"`
}

// problem is an answer that is an error.
type problem struct {
	Error      string `json:"error"`
	Dependency string `json:"dependency"`
	RetryAfter int    `json:"retry_after_seconds"`
}

// readiness is an answer of /health/ready.
type readiness struct {
	Status string `json:"status"`
	By     string `json:"by"`
}

func newRig(t *testing.T, o stand.Options) *rig {
	t.Helper()
	o.Root, o.Bin = "../../..", bin
	s, err := stand.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.Logs())
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &rig{Stand: s, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}, next: 1}
}

func (r *rig) call(ctx context.Context, method, path string, body []byte) (a answer, err error) {
	req, err := http.NewRequestWithContext(ctx, method, r.URL()+path, bytes.NewReader(body))
	if err != nil {
		return a, err
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return a, err
	}
	a.status, a.header = resp.StatusCode, resp.Header
	if a.status >= 400 {
		return a, json.Unmarshal(text, &a.problem)
	}
	return a, json.Unmarshal(text, &a.view)
}

// user asks for one.
func (r *rig) user(t *testing.T, id int) answer {
	t.Helper()
	a, err := r.call(t.Context(), http.MethodGet, fmt.Sprintf("/users/%d", id), nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// fresh asks for a user that nobody has asked for.
func (r *rig) fresh(t *testing.T) answer {
	t.Helper()
	r.next++
	if r.next > stand.Users {
		t.Fatal("there are no more users")
	}
	return r.user(t, r.next)
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// opens makes calls until the mesh's breaker of a dependency is open.
func (r *rig) opens(t *testing.T, dependency string, call func()) {
	t.Helper()
	eventually(t, "the breaker of "+dependency+" opens", func() error {
		call()
		states, err := r.States(t.Context())
		if err == nil && states[dependency] != "open" {
			err = fmt.Errorf("it is %s", states[dependency])
		}
		return err
	})
}

// recovers makes calls until everything is as it was: complete answers from the database and
// then from the cache, and every breaker closed.
func (r *rig) recovers(t *testing.T) {
	t.Helper()
	eventually(t, "everything is as it was", func() error {
		a := r.fresh(t)
		if a.status != http.StatusOK || len(a.Degraded) > 0 || a.Source != "database" {
			return fmt.Errorf("got %d %+v %+v", a.status, a.view, a.problem)
		}
		if b := r.user(t, r.next); b.Source != "cache" || string(b.Profile) != string(a.Profile) {
			return fmt.Errorf("got %d %+v from the cache", b.status, b.view)
		}
		return r.AllClosed(t.Context())
	})
}

// readiness is what /health/ready says.
func (r *rig) readiness(t *testing.T, status int, want readiness) {
	t.Helper()
	eventually(t, fmt.Sprintf("the shop is %s by the word of %s", want.Status, want.By), func() error {
		resp, err := r.client.Get(r.URL() + "/health/ready")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		var got readiness
		err = json.NewDecoder(resp.Body).Decode(&got)
		if err == nil && (resp.StatusCode != status || got.Status != want.Status || got.By != want.By) {
			err = fmt.Errorf("got %d %+v", resp.StatusCode, got)
		}
		return err
	})
}

// start does what a test needs done.
func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// quick is a shop whose breakers try again soon.
func quick(t *testing.T) *rig { return newRig(t, stand.Options{Recovery: time.Second}) }

// TestHealthy: cache first, then the database, then the API.
func TestHealthy(t *testing.T) {
	t.Parallel()
	r := quick(t)
	if a := r.user(t, 7); a.status != 200 || a.Source != "database" || a.Name != "user 7" || a.Email != "user7@example.com" || len(a.Profile) == 0 || a.Degraded != nil {
		t.Errorf("got %d %+v, want user 7 from the database, with a profile", a.status, a.view)
	}
	if a := r.user(t, 7); a.status != 200 || a.Source != "cache" || a.Name != "user 7" || len(a.Profile) == 0 {
		t.Errorf("got %d %+v, want user 7 from the cache, with a profile", a.status, a.view)
	}
	for path, want := range map[string]int{"/users/123456": 404, "/users/0": 400, "/users/x": 400} {
		if a, err := r.call(t.Context(), http.MethodGet, path, nil); err != nil || a.status != want || a.Error == "" {
			t.Errorf("GET %s: got %d %q, %v, want %d and a reason", path, a.status, a.Error, err, want)
		}
	}
	post := func(body string) answer {
		a, err := r.call(t.Context(), http.MethodPost, "/users", []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	made := post(`{"name": "Ada", "email": "ada@example.com"}`)
	if made.status != http.StatusCreated || made.ID == 0 || made.header.Get("Location") != fmt.Sprintf("/users/%d", made.ID) {
		t.Errorf("got %d %+v, want a user with an id", made.status, made.view)
	}
	if a := r.user(t, int(made.ID)); a.Name != "Ada" {
		t.Errorf("got %d %+v, want what was posted", a.status, a.view)
	}
	for body, want := range map[string]int{`{"name": "Ada", "email": "ada@example.com"}`: 409, `{"name": "", "email": "a@b"}`: 400, `{`: 400, `{"nam": 1}`: 400} {
		if a := post(body); a.status != want || a.Error == "" {
			t.Errorf("POST %s: got %d %q, want %d and a reason", body, a.status, a.Error, want)
		}
	}
	r.recovers(t) // what callers did wrong is nobody's failure
	r.readiness(t, 200, readiness{Status: "ready", By: "mesh"})
}

// TestRedisStopped: every answer is there, complete, from the database.
func TestRedisStopped(t *testing.T) {
	t.Parallel()
	r := quick(t)
	r.recovers(t)
	must(t, r.Redis.Stop())
	complete := func() {
		t.Helper()
		if a := r.fresh(t); a.status != 200 || a.Source != "database" || len(a.Profile) == 0 {
			t.Fatalf("got %d %+v %+v, want a complete answer from the database", a.status, a.view, a.problem)
		}
	}
	r.opens(t, "redis", complete)
	for range 20 {
		complete()
	}
	r.readiness(t, 200, readiness{Status: "ready", By: "mesh"})
	must(t, r.Redis.Start(t.Context()))
	r.recovers(t)
}

// TestPostgreSQLStopped: what is cached is there, and for the rest callers hear at once whose
// fault it is and when to try again.
func TestPostgreSQLStopped(t *testing.T) {
	t.Parallel()
	r := quick(t)
	r.recovers(t)
	known := r.next
	must(t, r.Database.Stop())
	said := map[string]int{}
	failing := func() {
		t.Helper()
		a := r.fresh(t)
		if a.status != http.StatusServiceUnavailable || a.Dependency != "database" {
			t.Fatalf("got %d %+v %+v, want 503 for the database", a.status, a.view, a.problem)
		}
		said[a.Error]++
		if open := a.Error == "the database is unavailable: its circuit breaker is open"; open && a.header.Get("Retry-After") == "" && a.RetryAfter > 0 {
			t.Errorf("no Retry-After for %+v", a.problem)
		}
	}
	r.opens(t, "database", failing)
	for range 10 {
		failing()
	}
	if said["the database is unavailable: its circuit breaker is open"] == 0 {
		t.Errorf("callers heard %v, want to hear of the breaker", said)
	}
	if a := r.user(t, known); a.status != 200 || a.Source != "cache" {
		t.Errorf("got %d %+v %+v, want a known user from the cache", a.status, a.view, a.problem)
	}
	if a, err := r.call(t.Context(), http.MethodPost, "/users", []byte(`{"name": "Bob", "email": "bob@example.com"}`)); err != nil || a.status != 503 {
		t.Errorf("POST: got %d %+v, %v, want 503", a.status, a.problem, err)
	}
	r.readiness(t, 200, readiness{Status: "ready", By: "mesh"})
	must(t, r.Database.Start(t.Context()))
	r.recovers(t)
}

// TestSlowQueries: queries that hang are seen by the breaker in the shop, and nobody waits
// for them any more. To the proxy they are connections that nothing is wrong with.
func TestSlowQueries(t *testing.T) {
	t.Parallel()
	r := quick(t)
	r.recovers(t)
	must(t, r.Database.Hold(t.Context()))
	var waiting sync.WaitGroup
	for range 12 {
		r.next++
		id := r.next
		waiting.Go(func() {
			a, err := r.call(t.Context(), http.MethodGet, fmt.Sprintf("/users/%d", id), nil)
			if err != nil || a.status != 503 || a.Dependency != "database" {
				t.Errorf("a query that hangs: got %d %+v, %v, want 503 for the database", a.status, a.problem, err)
			}
		})
	}
	waiting.Wait()
	if a := r.fresh(t); a.status != 503 || a.Error != "the database is unavailable: its circuit breaker is open" {
		t.Errorf("got %d %+v, want to hear of the breaker", a.status, a.problem)
	}
	must(t, r.Database.Release(t.Context()))
	r.recovers(t)
}

// degraded asks for users until the API's breaker is open: each answer is there, without the profile.
func (r *rig) degraded(t *testing.T) {
	t.Helper()
	without := func() {
		t.Helper()
		if a := r.fresh(t); a.status != 200 || len(a.Profile) > 0 || len(a.Degraded) != 1 || a.header.Get("X-Degraded") != "external_api" {
			t.Fatalf("got %d %+v %+v, want an answer without a profile that says so", a.status, a.view, a.problem)
		}
	}
	r.opens(t, "external_api", without)
	for range 20 {
		without()
	}
}

// TestAPIFails: answers come without what the API knows, and are not kept.
func TestAPIFails(t *testing.T) {
	t.Parallel()
	r := quick(t)
	r.recovers(t)
	r.API.Fails()
	r.degraded(t)
	missing := r.next
	r.API.Works()
	r.recovers(t)
	if a := r.user(t, missing); a.Source != "database" || len(a.Profile) == 0 {
		t.Errorf("got %d %+v, want what was missing before", a.status, a.view)
	}
}

// TestAPISlow: callers wait for the policy's timeout until the breaker opens, and not any longer.
func TestAPISlow(t *testing.T) {
	t.Parallel()
	r := quick(t)
	r.recovers(t)
	r.API.Hangs()
	r.degraded(t)
	r.API.Works()
	r.recovers(t)
}

// TestAllAtOnce: the shop says what it can, is not ready, and all comes back with nothing
// started anew but what had been stopped.
func TestAllAtOnce(t *testing.T) {
	t.Parallel()
	r := quick(t)
	r.recovers(t)
	r.API.Fails()
	r.degraded(t)
	must(t, r.Redis.Stop(), r.Database.Stop())
	for _, dependency := range []string{"redis", "database"} {
		r.opens(t, dependency, func() {
			if a := r.fresh(t); a.status != 503 || a.Dependency != "database" {
				t.Fatalf("got %d %+v %+v, want 503 for the database", a.status, a.view, a.problem)
			}
		})
	}
	r.readiness(t, 503, readiness{Status: "not_ready", By: "mesh"})
	r.API.Works()
	must(t, r.Redis.Start(t.Context()), r.Database.Start(t.Context()))
	r.recovers(t)
	r.readiness(t, 200, readiness{Status: "ready", By: "mesh"})
}

// TestControlPlaneKilled: no request fails for it, and the shop judges for itself meanwhile.
func TestControlPlaneKilled(t *testing.T) {
	t.Parallel()
	r := quick(t)
	r.recovers(t)
	r.KillControlPlane()
	r.readiness(t, 200, readiness{Status: "ready", By: "shop"})
	for range 20 {
		if a := r.fresh(t); a.status != 200 || len(a.Profile) == 0 {
			t.Fatalf("got %d %+v %+v, want a complete answer", a.status, a.view, a.problem)
		}
	}
	must(t, r.StartControlPlane(t.Context()))
	r.readiness(t, 200, readiness{Status: "ready", By: "mesh"})
	r.recovers(t)
}
