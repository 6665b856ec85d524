package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// adminToken is the admin token of all control planes in these tests that have one.
const adminToken = "0123456789-for-tests-only"

// operated is a mesh with an operator, who has the admin token, and with a state directory.
type operated struct {
	*mesh
	tokenFile, stateDir string
	asReplica           []string // flags by which it finds other replicas
}

// prepareOperated is [prepareMesh] for a mesh with an operator.
func prepareOperated(t *testing.T, ip, policyText string) *operated {
	t.Helper()
	o := &operated{mesh: prepareMesh(t, ip, policyText), stateDir: filepath.Join(t.TempDir(), "state")}
	o.tokenFile = tokenFile(t, adminToken)
	return o
}

// newOperated starts a control plane with an admin token and a state directory, and a proxy.
func newOperated(t *testing.T, ip, policyText string) *operated {
	t.Helper()
	o := prepareOperated(t, ip, policyText)
	o.startOperated(t)
	o.startEnvoy(t)
	return o
}

// startOperated starts a control plane with an admin token and a state directory.
func (o *operated) startOperated(t *testing.T) {
	t.Helper()
	o.startControl(t, append(slices.Clone(o.asReplica), "--admin-token-file", o.tokenFile, "--state-dir", o.stateDir)...)
}

func tokenFile(t *testing.T, token string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// breakers runs 'breakwater breakers' against the control plane.
func (m *mesh) breakers(t *testing.T, args ...string) result {
	t.Helper()
	args = append([]string{"breakers"}, args...)
	return breakwater(t, append(args, "--server", "http://"+m.ip+":18080")...)
}

// force changes a breaker with the token, and checks that this succeeds. It returns the output.
func (o *operated) force(t *testing.T, args ...string) string {
	t.Helper()
	args = append(args, "--by", "alice@ops", "--reason", "moving the database", "--admin-token-file", o.tokenFile)
	r := o.breakers(t, args...)
	if r.code != 0 || !strings.HasPrefix(r.stderr, "in force on this instance only: ") {
		t.Fatalf("%v: exit code %d: %s", args, r.code, r.stderr)
	}
	return r.stdout
}

// history has the fields of /breakers/KEY about a breaker's past that tests need.
type history struct {
	State      string    `json:"state"`
	Since      time.Time `json:"since"`
	RetryAfter string    `json:"retry_after"`
	Trip       *struct {
		At     time.Time `json:"at"`
		Reason string    `json:"reason"`
		Wait   string    `json:"wait"`
		Window struct {
			Calls    int `json:"calls"`
			Failures int `json:"failures"`
			Run      int `json:"consecutive_failures"`
		} `json:"window"`
	} `json:"trip"`
	Forced *struct {
		State  string    `json:"state"`
		By     string    `json:"by"`
		Reason string    `json:"reason"`
		Until  time.Time `json:"until"`
	} `json:"forced"`
	Last *struct {
		Sequence uint64 `json:"sequence"`
		Reason   string `json:"reason"`
	} `json:"last_transition"`
}

func (m *mesh) history(t *testing.T, key string) history {
	t.Helper()
	var h history
	if err := json.Unmarshal([]byte(m.page(t, "/breakers/"+key)), &h); err != nil {
		t.Fatal(err)
	}
	return h
}

// lastReason waits until the page of a breaker has a given reason of the last transition. The page may have it a moment after
// the change.
func (m *mesh) lastReason(t *testing.T, key, want string) {
	t.Helper()
	eventually(t, "the last transition is "+want, func() error {
		if h := m.history(t, key); h.Last == nil || h.Last.Reason != want {
			return fmt.Errorf("the last transition is %+v", h.Last)
		}
		return nil
	})
}

// TestForceOpen shows that no call passes a breaker that is forced open, until its time ends, whatever its own timers do.
func TestForceOpen(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	o := newOperated(t, ip, service("payments", u.address)+guard("payments", quick,
		`fallback: {response: {status: 503, contentType: text/plain, body: 'not now'}}`))
	o.must(t, "payments", http.StatusOK)
	printed := o.force(t, "force", "payments", "open", "--for", "1h")
	for _, part := range []string{"payments", " open ", "by alice@ops until ", ": moving the database "} {
		if !strings.Contains(printed, part) {
			t.Errorf("the output has no %q:\n%s", part, printed)
		}
	}
	reached := u.calls.Load()
	rejected := func() error {
		r, err := o.get(t.Context(), "payments", "/")
		if err == nil && (r.status != http.StatusServiceUnavailable || r.body != "not now") {
			err = fmt.Errorf("got %d %q, want the fallback", r.status, r.body)
		}
		if n := u.calls.Load() - reached; n > 0 {
			err = fmt.Errorf("%d requests reached the upstream", n)
		}
		return err
	}
	for range 50 {
		if err := rejected(); err != nil {
			t.Fatal(err)
		}
	}
	holds(t, "no timer closes the breaker", 1200*time.Millisecond, func() error { // four times the wait of the policy
		if got := o.breaker(t, "payments").State; got != "open" {
			return fmt.Errorf("the breaker is %s", got)
		}
		return rejected()
	})
	if got := o.metric(t, `circuit_breaker_forced{route="",service="payments"}`); got != 1 {
		t.Errorf("circuit_breaker_forced = %v, want 1", got)
	}
	o.force(t, "force", "payments", "open", "--for", "300ms")
	o.state(t, "payments", "half_open") // not closed, because the state of the upstream is not known
	if h := o.history(t, "payments"); h.Forced != nil {
		t.Errorf("after its time the breaker is still forced: %+v", h.Forced)
	}
	o.lastReason(t, "payments", "force_expired")
	for range 5 {
		o.must(t, "payments", http.StatusOK)
	}
	o.state(t, "payments", "closed")
}

// TestForceClosed shows that all calls pass a breaker that is forced closed, though the upstream fails, and that the
// breaker's rules apply again after its time.
func TestForceClosed(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	o := newOperated(t, ip, service("payments", u.address)+guard("payments",
		"breaker: {consecutiveFailures: 1, waitDurationInOpenState: 1h}"))
	trip(t, o.mesh, u)
	o.must(t, "payments", http.StatusServiceUnavailable)
	o.force(t, "force", "payments", "closed", "--for", "1h")
	reached := u.calls.Load()
	for range 50 {
		o.must(t, "payments", http.StatusInternalServerError)
	}
	if n := u.calls.Load() - reached; n != 50 {
		t.Errorf("%d of 50 calls reached the upstream", n)
	}
	if h := o.history(t, "payments"); h.State != "closed" || h.Forced == nil || h.Forced.State != "closed" {
		t.Errorf("after 50 failures the breaker is %+v, want that it is forced closed", h)
	}
	o.force(t, "force", "payments", "closed", "--for", "200ms")
	eventually(t, "the time ends", func() error {
		if o.history(t, "payments").Forced != nil {
			return errors.New("the breaker is still forced")
		}
		return nil
	})
	// The failures during that time do not count, and the rules apply again.
	if got := o.breaker(t, "payments").State; got != "closed" {
		t.Errorf("after its time the breaker is %s, want closed", got)
	}
	o.must(t, "payments", http.StatusInternalServerError)
	o.must(t, "payments", http.StatusServiceUnavailable)
}

// TestReset resets a breaker that would be open for an hour, and one that is forced open.
func TestReset(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	o := newOperated(t, ip, service("payments", u.address)+guard("payments",
		"breaker: {consecutiveFailures: 1, waitDurationInOpenState: 1h}"))
	closedAgain := func() {
		t.Helper()
		printed := o.force(t, "reset", "payments")
		if !strings.Contains(printed, " closed ") || strings.Contains(printed, "alice") {
			t.Errorf("the output is\n%s", printed)
		}
		o.lastReason(t, "payments", "reset")
		o.must(t, "payments", http.StatusOK)
	}
	trip(t, o.mesh, u)
	u.behave(answer(http.StatusOK))
	o.must(t, "payments", http.StatusServiceUnavailable)
	closedAgain()
	o.force(t, "force", "payments", "open", "--for", "1h")
	o.must(t, "payments", http.StatusServiceUnavailable)
	closedAgain()

	series := `circuit_breaker_transitions_total{from="open",reason="reset",route="",service="payments",to="closed"}`
	if got := o.metric(t, series); got != 2 {
		t.Errorf("%s = %v, want 2", series, got)
	}
	trip(t, o.mesh, u)
	o.state(t, "payments", "open")
}

// TestByHandIsAudited shows that the audit log has the operator, the change, the breaker, the reason and the result of each
// change by hand, and that no token is in the log.
func TestByHandIsAudited(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	o := prepareOperated(t, ip, service("payments", "127.0.0.1:1")+guard("payments"))
	o.startOperated(t)
	wrong := tokenFile(t, "somebody-elses-token")
	change := []string{"force", "payments", "open", "--for", "10m", "--by", "mallory", "--reason", "for fun"}
	for _, c := range []struct {
		args []string
		says string
	}{
		{change, "--admin-token-file or BREAKWATER_ADMIN_TOKEN"},
		{append(change, "--admin-token-file", wrong), "did not accept the admin token of " + wrong},
	} {
		if r := o.breakers(t, c.args...); r.code != 1 || !strings.Contains(r.stderr, c.says) {
			t.Errorf("%v: exit code %d, want 1, saying %q:\n%s", c.args, r.code, c.says, r.stderr)
		}
	}
	if h := o.history(t, "payments"); h.State != "closed" || h.Forced != nil || h.Last != nil {
		t.Errorf("without the token the breaker has changed to %+v", h)
	}
	o.force(t, "force", "payments", "open", "--for", "10m")
	o.force(t, "reset", "payments")

	var audit []string
	for line := range strings.Lines(o.control.output()) {
		if strings.Contains(line, "audit=true") {
			audit = append(audit, line)
		}
	}
	want := [][]string{
		// Nothing that a client without the token sends is logged.
		{"key=payments", "remote=127.", "refused"}, {"key=payments", "remote=127.", "refused"},
		{"by=alice@ops", "key=payments", "action=force_open", `reason="moving the database"`, "expires_in=10m", "remote=127.", "result=done"},
		{"by=alice@ops", "key=payments", "action=reset", `reason="moving the database"`, "remote=127."},
	}
	if len(audit) != len(want) {
		t.Fatalf("the audit log has %d lines, want %d:\n%s", len(audit), len(want), strings.Join(audit, ""))
	}
	for i, parts := range want {
		for _, part := range parts {
			if !strings.Contains(audit[i], part) {
				t.Errorf("line %d of the audit log has no %s:\n%s", i, part, audit[i])
			}
		}
	}
	for _, secret := range []string{adminToken, "somebody-elses-token"} {
		if strings.Contains(o.control.output(), secret) {
			t.Errorf("the log has a token")
		}
	}
}

// TestByHandWithoutToken shows that a control plane without a token refuses changes, and says how to configure a token.
func TestByHandWithoutToken(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	m := prepareMesh(t, ip, service("payments", "127.0.0.1:1")+guard("payments"))
	m.startControl(t, "--state-dir", t.TempDir())
	file := tokenFile(t, adminToken)
	for _, more := range [][]string{nil, {"--admin-token-file", file}} {
		r := m.breakers(t, append([]string{"reset", "payments", "--reason", "r"}, more...)...)
		if r.code != 1 || !strings.Contains(r.stderr, "--admin-token-file") || !strings.Contains(r.stderr, "BREAKWATER_ADMIN_TOKEN") {
			t.Errorf("with %v: exit code %d, want 1 and how to configure a token:\n%s", more, r.code, r.stderr)
		}
	}
	if h := m.history(t, "payments"); h.Last != nil {
		t.Errorf("the breaker has changed to %+v", h)
	}
}

// TestTokenOfServe shows the errors for a wrong token file and for a wrong state directory.
func TestTokenOfServe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "policy.yaml"), []byte(service("payments", "127.0.0.1:8080")), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ flag, value, says string }{
		{"--admin-token-file", filepath.Join(dir, "none"), "no such file"},
		{"--admin-token-file", dir, "is a directory"},
		{"--admin-token-file", tokenFile(t, ""), "is empty"},
		{"--admin-token-file", tokenFile(t, "0123456789abcde"), "too short"},
		{"--state-dir", filepath.Join(dir, "policy.yaml", "state"), "policy.yaml/state"},
	} {
		r := breakwater(t, "serve", "--policy", dir, "--xds-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", c.flag, c.value)
		if r.code != 1 || !strings.Contains(r.stderr, c.says) {
			t.Errorf("%s %s: exit code %d, want 1, saying %q:\n%s", c.flag, c.value, r.code, c.says, r.stderr)
		}
	}
}

// TestBreakersOfRealServer shows the commands for breakers, and the errors for likely mistakes.
func TestBreakersOfRealServer(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	o := newOperated(t, ip, service("payments", u.address)+service("stock", u.address)+guard("stock")+guard("payments",
		"breaker: {consecutiveFailures: 1, waitDurationInOpenState: 1h}"))
	trip(t, o.mesh, u)
	o.lastReason(t, "payments", "consecutive_failures")
	const tripped = "payments open 1 1 0 consecutive_failures - consecutive_failures (1 call, 1 failed, 0 slow, 1 failed in a row)"
	for _, c := range []struct {
		args string
		want []string // the words of each line, without the age and the time of the cause
	}{
		{"list", []string{tripped, "stock closed 0 0 0 - - -"}},
		{"list --state open", []string{tripped}},
		{"list stock", []string{"stock closed 0 0 0 - - -"}},
	} {
		r := o.breakers(t, strings.Fields(c.args)...)
		lines := strings.Split(strings.TrimSpace(r.stdout), "\n")
		for i, line := range lines[1:] {
			line, _, _ = strings.Cut(line, " at ")
			words := strings.Fields(line)
			lines[i+1] = strings.Join(append(words[:2], words[3:]...), " ")
		}
		if got, want := strings.Join(lines[1:], "\n"), strings.Join(c.want, "\n"); r.code != 0 || got != want {
			t.Errorf("%s: exit code %d, got\n%s\nwant\n%s\n%s", c.args, r.code, got, want, r.stderr)
		}
	}
	for args, want := range map[string]string{
		"list --forced": "no breakers that are forced\n", "list --state half_open": "no breakers that are half_open\n",
	} {
		if r := o.breakers(t, strings.Fields(args)...); r.code != 0 || r.stdout != want {
			t.Errorf("%s: exit code %d, got %q, want %q", args, r.code, r.stdout, want)
		}
	}
	for args, says := range map[string]string{
		"list paymets":                              `there is no breaker "paymets"; did you mean payments?`,
		"force stok open --for 1s --reason r":       `there is no breaker "stok"; did you mean stock?`,
		"reset payments@shop-9 --reason r":          `there is no breaker "payments@shop-9"`,
		"force payments open --for 200h --reason r": "168h",
	} {
		fields := strings.Fields(args)
		if fields[0] != "list" {
			fields = append(fields, "--admin-token-file", o.tokenFile)
		}
		if r := o.breakers(t, fields...); r.code != 1 || !strings.Contains(r.stderr, says) {
			t.Errorf("%s: exit code %d, want 1, saying %q:\n%s", args, r.code, says, r.stderr)
		}
	}
	r := o.breakers(t, "list", "--output", "json")
	var got, want struct{ Breakers []struct{ Key, State string } }
	if err := errors.Join(json.Unmarshal([]byte(r.stdout), &got), json.Unmarshal([]byte(o.page(t, "/breakers")), &want)); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) || len(got.Breakers) != 2 {
		t.Errorf("the JSON has %v, want %v", got, want)
	}
}

// TestWatchBreakers shows that the watch command finds a control plane again after it was killed, and that it ends at Ctrl-C.
func TestWatchBreakers(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	o := newOperated(t, ip, service("payments", u.address)+guard("payments",
		"breaker: {consecutiveFailures: 1, waitDurationInOpenState: 1h}"))
	w := start(t, "watch", binary, "breakers", "watch", "--server", "http://"+ip+":18080")
	seen := func(parts ...string) {
		t.Helper()
		eventually(t, strings.Join(parts, "..."), func() error {
			w.running(t)
			rest := w.output()
			for _, part := range parts {
				_, after, found := strings.Cut(rest, part)
				if !found {
					return fmt.Errorf("there is no %q in\n%s", part, rest)
				}
				rest = after
			}
			return nil
		})
	}
	seen("KEY", "payments", "closed")
	trip(t, o.mesh, u)
	opened := "payments: closed -> open, consecutive_failures (1 call, 1 failed, 0 slow, 1 failed in a row), for 1h"
	seen("KEY", opened)
	saved := func(open bool) {
		t.Helper()
		eventually(t, "the state is saved", func() error {
			text, err := os.ReadFile(filepath.Join(o.stateDir, "breakers.json"))
			if strings.Contains(string(text), "payments") != open {
				return errors.Join(err, fmt.Errorf("saved is %q, want an open breaker: %v", text, open))
			}
			return nil
		})
	}
	saved(true)
	o.force(t, "reset", "payments")
	closed := "payments: open -> closed, reset by alice@ops: moving the database"
	seen("KEY", opened, closed)
	saved(false)
	o.control.kill()
	lost := "lost the control plane at http://" + ip + ":18080"
	seen(closed, lost)
	o.startOperated(t)
	back := "the control plane at http://" + ip + ":18080 is back"
	seen(closed, lost, back)
	o.force(t, "force", "payments", "open", "--for", "1h")
	seen(closed, lost, back, "payments: closed -> open, forced by alice@ops")
	w.signal(t, syscall.SIGINT)
	if code := w.ends(t); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

// TestTokenInPlainText shows that the token is sent to another host in plain text only with --insecure. The request goes to
// an HTTP proxy of the test, so that nothing leaves this machine.
func TestTokenInPlainText(t *testing.T) {
	t.Parallel()
	sent := make(chan string, 9)
	proxy := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent <- r.Method + " " + r.URL.String() + " " + r.Header.Get("Authorization")
		fmt.Fprint(w, `{"key": "payments", "state": "closed"}`)
	}))
	l, err := net.Listen("tcp", ownIP(t)+":0")
	if err != nil {
		t.Fatal(err)
	}
	proxy.Listener.Close()
	proxy.Listener = l
	proxy.Start()
	t.Cleanup(proxy.Close)
	reset := func(more ...string) (string, int) {
		args := append([]string{"breakers", "reset", "payments", "--reason", "r", "--admin-token-file", tokenFile(t, adminToken),
			"--server", "http://breakwater.example:18080"}, more...)
		cmd := exec.CommandContext(t.Context(), binary, args...)
		cmd.Env = append(os.Environ(), "HTTP_PROXY=http://"+l.Addr().String(), "NO_PROXY=")
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
	if out, code := reset(); code != 2 || !strings.Contains(out, "--insecure") || len(sent) > 0 {
		t.Errorf("exit code %d, want 2 and an error that names --insecure; %d requests were sent:\n%s", code, len(sent), out)
	}
	if out, code := reset("--insecure"); code != 0 || len(sent) != 1 {
		t.Fatalf("with --insecure: exit code %d, %d requests were sent:\n%s", code, len(sent), out)
	}
	if got, want := <-sent, "POST http://breakwater.example:18080/breakers/payments Bearer "+adminToken; got != want {
		t.Errorf("sent %s, want %s", got, want)
	}
}
