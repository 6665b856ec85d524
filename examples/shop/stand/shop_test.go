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

// bin is the directory with the built programs.
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

// rig is a running shop with a client.
type rig struct {
	*stand.Stand
	client *http.Client
	next   int // the last user that fresh has requested
}

// answer is the response that a caller got.
type answer struct {
	status int
	header http.Header
	view
	problem
}

// view is a user in a response.
type view struct {
	ID       int64           `json:"id"`
	Name     string          `json:"name"`
	Email    string          `json:"email"`
	Profile  json.RawMessage `json:"profile"`
	Degraded []string        `json:"degraded"`
	Source   string          `json:"source"`
}

// problem is the body of an error response.
type problem struct {
	Error      string `json:"error"`
	Dependency string `json:"dependency"`
	RetryAfter int    `json:"retry_after_seconds"`
}

// readiness is a response of /health/ready.
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

// user requests a user.
func (r *rig) user(t *testing.T, id int) answer {
	t.Helper()
	a, err := r.call(t.Context(), http.MethodGet, fmt.Sprintf("/users/%d", id), nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// fresh requests a user that was not requested before.
func (r *rig) fresh(t *testing.T) answer {
	t.Helper()
	r.next++
	if r.next > stand.Users {
		t.Fatal("all users have been requested")
	}
	return r.user(t, r.next)
}

// eventually waits until check returns nil, for at most a minute.
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
			err = fmt.Errorf("the breaker is %s", states[dependency])
		}
		return err
	})
}

// recovers makes calls until the shop has recovered: its answers are complete, from the database
// and then from the cache, and every breaker is closed.
func (r *rig) recovers(t *testing.T) {
	t.Helper()
	eventually(t, "the shop recovers", func() error {
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

// readiness waits until /health/ready answers as wanted.
func (r *rig) readiness(t *testing.T, status int, want readiness) {
	t.Helper()
	eventually(t, fmt.Sprintf("the shop is %s according to %s", want.Status, want.By), func() error {
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

// must fails the test if there is an error.
func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// quick returns a shop whose breakers stay open for a second only.
func quick(t *testing.T) *rig { return newRig(t, stand.Options{Recovery: time.Second}) }

// TestHealthy shows that the shop asks the database and the API, and the cache from then on.
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
		t.Errorf("got %d %+v, want 201 and a user with an id", made.status, made.view)
	}
	if a := r.user(t, int(made.ID)); a.Name != "Ada" {
		t.Errorf("got %d %+v, want the posted user", a.status, a.view)
	}
	for body, want := range map[string]int{`{"name": "Ada", "email": "ada@example.com"}`: 409, `{"name": "", "email": "a@b"}`: 400, `{`: 400, `{"nam": 1}`: 400} {
		if a := post(body); a.status != want || a.Error == "" {
			t.Errorf("POST %s: got %d %q, want %d and a reason", body, a.status, a.Error, want)
		}
	}
	r.recovers(t) // wrong requests do not count as failures of a dependency
	r.readiness(t, 200, readiness{Status: "ready", By: "mesh"})
}

// TestRedisStopped shows that every answer is complete, and comes from the database.
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

// TestPostgreSQLStopped shows that cached users are served. Other requests fail at once, with the
// name of the dependency and the time to try again.
func TestPostgreSQLStopped(t *testing.T) {
	t.Parallel()
	r := quick(t)
	r.recovers(t)
	known := r.next
	must(t, r.Database.Stop())
	errorTexts := map[string]int{}
	failing := func() {
		t.Helper()
		a := r.fresh(t)
		if a.status != http.StatusServiceUnavailable || a.Dependency != "database" {
			t.Fatalf("got %d %+v %+v, want 503 for the database", a.status, a.view, a.problem)
		}
		errorTexts[a.Error]++
		if open := a.Error == "the database is unavailable: its circuit breaker is open"; open && a.header.Get("Retry-After") == "" && a.RetryAfter > 0 {
			t.Errorf("no Retry-After for %+v", a.problem)
		}
	}
	r.opens(t, "database", failing)
	for range 10 {
		failing()
	}
	if errorTexts["the database is unavailable: its circuit breaker is open"] == 0 {
		t.Errorf("callers got the errors %v, want one about the breaker", errorTexts)
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

// TestSlowQueries shows that queries that hang open the breaker in the shop, so that callers no
// longer wait for them. To the proxy, the connections of such queries are healthy.
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
		t.Errorf("got %d %+v, want an error about the breaker", a.status, a.problem)
	}
	must(t, r.Database.Release(t.Context()))
	r.recovers(t)
}

// degraded requests users until the API's breaker is open. Each answer comes without the profile.
func (r *rig) degraded(t *testing.T) {
	t.Helper()
	without := func() {
		t.Helper()
		if a := r.fresh(t); a.status != 200 || len(a.Profile) > 0 || len(a.Degraded) != 1 || a.header.Get("X-Degraded") != "external_api" {
			t.Fatalf("got %d %+v %+v, want an answer without a profile and with X-Degraded", a.status, a.view, a.problem)
		}
	}
	r.opens(t, "external_api", without)
	for range 20 {
		without()
	}
}

// TestAPIFails shows that answers come without the API's profile, and are not cached.
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
		t.Errorf("got %d %+v, want the profile that was missing before", a.status, a.view)
	}
}

// TestAPISlow shows that callers wait for the policy's timeout only until the breaker opens.
func TestAPISlow(t *testing.T) {
	t.Parallel()
	r := quick(t)
	r.recovers(t)
	r.API.Hangs()
	r.degraded(t)
	r.API.Works()
	r.recovers(t)
}

// TestAllAtOnce shows that the shop is not ready while all dependencies are broken, and recovers
// without a restart when they work again.
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

// TestControlPlaneKilled shows that no request fails without a control plane, and that the shop
// decides itself whether it is ready.
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
