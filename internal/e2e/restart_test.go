package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// ends are the ways in which a control plane ends.
var ends = map[string]func(*testing.T, *operated){
	"killed": func(_ *testing.T, o *operated) { o.control.kill() },
	"stopped": func(t *testing.T, o *operated) {
		t.Helper()
		if code := o.terminate(t); code != 0 {
			t.Errorf("exit code %d, want 0", code)
		}
	},
}

// stored waits until the state file has a text. After that, kill -9 cannot lose it.
func (o *operated) stored(t *testing.T, want string) {
	t.Helper()
	eventually(t, want+" is in the state file", func() error {
		text, err := os.ReadFile(filepath.Join(o.stateDir, "breakers.json"))
		if err == nil && !strings.Contains(string(text), want) {
			err = fmt.Errorf("the file is\n%s", text)
		}
		return err
	})
}

// keepsRejecting waits until a call is rejected, so that the proxy has connected to the new control plane. From then on, no call
// may reach the upstream.
func (o *operated) keepsRejecting(t *testing.T, u *upstream) {
	t.Helper()
	eventually(t, "calls are rejected", func() error {
		r, err := o.get(t.Context(), "payments", "/")
		if err == nil && r.status != http.StatusServiceUnavailable {
			err = fmt.Errorf("got %d", r.status)
		}
		return err
	})
	reached, passed := int(u.calls.Load()), o.passed
	for range 20 {
		o.must(t, "payments", http.StatusServiceUnavailable)
	}
	if n := int(u.calls.Load()) - reached; n != o.passed-passed {
		t.Errorf("%d requests reached the upstream, and %d passed without a decision", n, o.passed-passed)
	}
}

// between is the time of an event, which is known only to be between two times.
type between struct{ earliest, latest time.Time }

// reopening returns the time at which the open breaker admits its first probe, as precisely as /breakers has it.
func (o *operated) reopening(t *testing.T) between {
	t.Helper()
	asked := time.Now()
	h := o.history(t, "payments")
	answered := time.Now()
	left, err := time.ParseDuration(h.RetryAfter)
	if h.State != "open" || err != nil {
		t.Fatalf("the breaker is %s, with retry_after %q (%v)", h.State, h.RetryAfter, err)
	}
	const rounding = time.Millisecond
	return between{asked.Add(left - rounding), answered.Add(left + rounding)}
}

// agrees reports whether both can be the same time. The wall clock, by which one process knows the times of another one, may be
// adjusted a little meanwhile.
func (b between) agrees(other between) bool {
	const adjustment = 50 * time.Millisecond
	return !b.earliest.After(other.latest.Add(adjustment)) && !other.earliest.After(b.latest.Add(adjustment))
}

// TestRestartKeepsOpen shows that an open breaker is open for the rest of its wait after a restart, however the control plane
// ended, and that the trip is still known.
func TestRestartKeepsOpen(t *testing.T) {
	t.Parallel()
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ip := ownIP(t)
			u := newUpstream(t, ip)
			o := newOperated(t, ip, service("payments", u.address)+guard("payments",
				"breaker: {consecutiveFailures: 3, waitDurationInOpenState: 10m}"))
			u.behave(answer(http.StatusInternalServerError))
			for range 3 {
				o.must(t, "payments", http.StatusInternalServerError)
			}
			u.behave(answer(http.StatusOK))
			o.lastReason(t, "payments", "consecutive_failures")
			before, reopens := o.history(t, "payments"), o.reopening(t)
			o.stored(t, `"open"`)
			// A second passes, so that a new wait would end at another time.
			holds(t, "the breaker is open", time.Second, func() error {
				if got := o.breaker(t, "payments").State; got != "open" {
					return fmt.Errorf("the breaker is %s", got)
				}
				return nil
			})
			end(t, o)
			o.startOperated(t)
			after, again := o.history(t, "payments"), o.reopening(t)
			if !again.agrees(reopens) {
				t.Errorf("the first probe comes at %v, and should at %v", again, reopens)
			}
			if before.Trip == nil || after.Trip == nil {
				t.Fatalf("there is no trip: %+v, then %+v", before, after)
			}
			if b, a := *before.Trip, *after.Trip; a.Reason != "consecutive_failures" || a.Wait != b.Wait || a.Window != b.Window || a.Window.Failures != 3 {
				t.Errorf("the trip is %+v, and was %+v", a, b)
			}
			if d := after.Trip.At.Sub(before.Trip.At).Abs(); d > 50*time.Millisecond {
				t.Errorf("the trip was at %v, and before the restart at %v", after.Trip.At, before.Trip.At)
			}
			o.lastReason(t, "payments", "restored")
			if got, want := o.history(t, "payments").Last.Sequence, before.Last.Sequence+1; got != want {
				t.Errorf("the first transition is number %d, want %d, the next one after the restart", got, want)
			}
			o.keepsRejecting(t, u)
		})
	}
}

// TestRestartGoesOn shows that a breaker becomes half-open when a wait ends that began before the restart.
func TestRestartGoesOn(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	o := newOperated(t, ip, service("payments", u.address)+guard("payments",
		"breaker: {consecutiveFailures: 1, waitDurationInOpenState: 3s, successThreshold: 2}"))
	began := time.Now()
	trip(t, o.mesh, u)
	u.behave(answer(http.StatusOK))
	o.stored(t, `"open"`)
	o.control.kill()
	o.startOperated(t)
	o.state(t, "payments", "half_open")
	if waited := time.Since(began); waited < 3*time.Second {
		t.Errorf("the breaker is half-open after %s, and the wait is 3s", waited)
	}
	eventually(t, "two probes close the breaker", func() error {
		if _, err := o.get(t.Context(), "payments", "/"); err != nil {
			return err
		}
		if got := o.breaker(t, "payments").State; got != "closed" {
			return fmt.Errorf("the breaker is %s", got)
		}
		return nil
	})
}

// TestRestartInHalfOpen shows that a half-open breaker needs all its successful probes after a restart.
func TestRestartInHalfOpen(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	o := newOperated(t, ip, service("payments", u.address)+guard("payments", quick))
	trip(t, o.mesh, u)
	u.behave(answer(http.StatusOK))
	o.state(t, "payments", "half_open")
	for range 4 {
		o.must(t, "payments", http.StatusOK)
	}
	o.stored(t, `"half_open"`)
	o.control.kill()
	o.startOperated(t)
	if got := o.breaker(t, "payments").State; got == "closed" {
		t.Fatal("the breaker is closed, and was half-open")
	}
	o.state(t, "payments", "half_open")
	// The earlier successes are not saved, so five new ones are needed.
	successes := o.breaker(t, "payments").Counts.Successes
	eventually(t, "probes close the breaker", func() error {
		if _, err := o.get(t.Context(), "payments", "/"); err != nil {
			return err
		}
		if got := o.breaker(t, "payments").State; got != "closed" {
			return fmt.Errorf("the breaker is %s", got)
		}
		return nil
	})
	if got := o.breaker(t, "payments").Counts.Successes - successes; got < 5 {
		t.Errorf("the breaker closed after %d successes, want 5", got)
	}
}

// TestRestartKeepsForced shows that a change by hand stays in force over a restart until its end, with the operator and the
// reason, and that a reset still ends it.
func TestRestartKeepsForced(t *testing.T) {
	t.Parallel()
	for _, state := range []string{"open", "closed"} {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			ip := ownIP(t)
			u := newUpstream(t, ip)
			o := newOperated(t, ip, service("payments", u.address)+guard("payments", quick))
			o.force(t, "force", "payments", state, "--for", "1h")
			before := o.history(t, "payments").Forced
			o.stored(t, "alice@ops")
			o.control.kill()
			o.startOperated(t)
			after := o.history(t, "payments").Forced
			if before == nil || after == nil {
				t.Fatalf("the breaker was forced by %+v, and then by %+v", before, after)
			}
			if after.State != state || after.By != "alice@ops" || after.Reason != "moving the database" {
				t.Errorf("the breaker is forced by %+v, and was forced by %+v", after, before)
			}
			if d := after.Until.Sub(before.Until).Abs(); d > 50*time.Millisecond {
				t.Errorf("the force ends at %v, and should at %v", after.Until, before.Until)
			}
			if state == "open" {
				o.keepsRejecting(t, u)
			} else {
				u.behave(answer(http.StatusInternalServerError))
				eventually(t, "many failures are counted", func() error {
					if _, err := o.get(t.Context(), "payments", "/"); err != nil {
						return err
					}
					if n := o.breaker(t, "payments").Counts.Failures; n < 20 {
						return fmt.Errorf("%d are counted", n)
					}
					return nil
				})
				if got := o.breaker(t, "payments").State; got != "closed" {
					t.Errorf("the breaker is %s, want closed, because it is forced closed", got)
				}
			}
			o.force(t, "reset", "payments")
			if h := o.history(t, "payments"); h.Forced != nil || h.State != "closed" {
				t.Errorf("after the reset the breaker is %+v", h)
			}
		})
	}
}

// TestForceEndsWhileAway shows that a change by hand is no longer in force if its end was at a time when no control plane ran.
func TestForceEndsWhileAway(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	o := prepareOperated(t, ip, service("payments", "127.0.0.1:1")+guard("payments"))
	o.startOperated(t)
	o.force(t, "force", "payments", "open", "--for", "2s")
	forced := o.history(t, "payments").Forced
	if forced == nil {
		t.Fatal("the breaker is not forced, so the test shows nothing")
	}
	o.stored(t, "alice@ops")
	o.control.kill()
	eventually(t, "the time ends", func() error {
		if left := time.Until(forced.Until); left >= 0 {
			return fmt.Errorf("%s are left", left)
		}
		return nil
	})
	o.startOperated(t)
	if h := o.history(t, "payments"); h.Forced != nil {
		t.Errorf("the breaker is still forced: %+v", h.Forced)
	}
}

// TestRestartWithAnotherPolicy shows that a breaker whose rules have changed does not get its old state.
func TestRestartWithAnotherPolicy(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	policy := service("payments", u.address) + guard("payments", "breaker: {consecutiveFailures: 1, waitDurationInOpenState: 1h}")
	o := newOperated(t, ip, policy)
	trip(t, o.mesh, u)
	o.stored(t, `"open"`)
	o.control.kill()
	o.write(t, "policy.yaml", strings.Replace(policy, "consecutiveFailures: 1", "consecutiveFailures: 2", 1))
	o.startOperated(t)
	if got := o.breaker(t, "payments").State; got != "closed" {
		t.Errorf("with other rules the breaker is %s, want closed", got)
	}
}

// TestRestartWithoutState shows that --state-dir "" turns the saving of states off.
func TestRestartWithoutState(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	m := prepareMesh(t, ip, service("payments", u.address)+guard("payments", "breaker: {consecutiveFailures: 1, waitDurationInOpenState: 1h}"))
	m.startControl(t, "--state-dir", "")
	m.startEnvoy(t)
	trip(t, m, u)
	m.state(t, "payments", "open")
	m.control.kill()
	m.startControl(t, "--state-dir", "")
	if got := m.breaker(t, "payments").State; got != "closed" {
		t.Errorf("the breaker is %s, want closed, because its state must not be saved", got)
	}
}

// TestDamagedState shows that a state file that cannot be read is moved aside with one warning, and that the control plane starts
// without it.
func TestDamagedState(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	o := newOperated(t, ip, service("payments", u.address)+guard("payments", "breaker: {consecutiveFailures: 1, waitDurationInOpenState: 1h}"))
	trip(t, o.mesh, u)
	o.stored(t, `"open"`)
	o.control.kill()
	file := filepath.Join(o.stateDir, "breakers.json")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	damaged := strings.Replace(string(text), `"open"`, `"opem"`, 1)
	if err := os.WriteFile(file, []byte(damaged), 0o600); err != nil {
		t.Fatal(err)
	}
	o.startOperated(t)
	if got := o.breaker(t, "payments").State; got != "closed" {
		t.Errorf("the breaker is %s because of a damaged file, want closed", got)
	}
	aside, err := filepath.Glob(file + ".damaged-*")
	if err != nil || len(aside) != 1 {
		t.Fatalf("%v is moved aside (%v), want one file", aside, err)
	}
	if kept, err := os.ReadFile(aside[0]); err != nil || string(kept) != damaged {
		t.Errorf("the file that was moved aside has changed (%v):\n%s", err, kept)
	}
	var warnings []string
	for line := range strings.Lines(o.control.output()) {
		if strings.Contains(line, "level=WARN") && strings.Contains(line, aside[0]) {
			warnings = append(warnings, line)
		}
	}
	if len(warnings) != 1 {
		t.Errorf("%d warnings name %s, want one:\n%s", len(warnings), aside[0], o.control.output())
	}
	// The next trip is saved, as if there had been no file.
	eventually(t, "the breaker trips", func() error {
		if _, err := o.get(t.Context(), "payments", "/"); err != nil {
			return err
		}
		if got := o.breaker(t, "payments").State; got != "open" {
			return errors.New("the breaker is " + got)
		}
		return nil
	})
	o.stored(t, `"open"`)
}

// TestStateByDefault shows that states are saved without any flag, in the user's directory for state.
func TestStateByDefault(t *testing.T) {
	home := t.TempDir()
	t.Setenv("XDG_STATE_HOME", home)
	t.Setenv("STATE_DIRECTORY", "")
	t.Setenv("BREAKWATER_ADMIN_TOKEN", adminToken)
	ip := ownIP(t)
	o := prepareOperated(t, ip, service("payments", "127.0.0.1:1")+guard("payments"))
	o.stateDir = filepath.Join(home, "breakwater", ip+"_18000")
	o.startControl(t)
	o.force(t, "force", "payments", "open", "--for", "1h")
	o.stored(t, "alice@ops")
	o.control.kill()
	o.startControl(t)
	if h := o.history(t, "payments"); h.Forced == nil {
		t.Errorf("after a restart the breaker is %+v, want that it is forced", h)
	}
}
