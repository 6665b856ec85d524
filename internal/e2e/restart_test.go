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

// ends are the ways in which a control plane goes away.
var ends = map[string]func(*testing.T, *operated){
	"killed": func(_ *testing.T, o *operated) { o.control.kill() },
	"stopped": func(t *testing.T, o *operated) {
		t.Helper()
		if code := o.terminate(t); code != 0 {
			t.Errorf("exit code %d, want 0", code)
		}
	},
}

// stored waits until the file of the state says something; after that, kill -9 cannot lose it.
func (o *operated) stored(t *testing.T, what string) {
	t.Helper()
	eventually(t, what+" in the file", func() error {
		text, err := os.ReadFile(filepath.Join(o.stateDir, "breakers.json"))
		if err == nil && !strings.Contains(string(text), what) {
			err = fmt.Errorf("it is\n%s", text)
		}
		return err
	})
}

// rejected waits until the proxy asks the new control plane, and it rejects; from then on
// no request may reach the upstream.
func (o *operated) rejected(t *testing.T, u *upstream) {
	t.Helper()
	eventually(t, "calls are rejected", func() error {
		r, err := o.get(t.Context(), "payments", "/")
		if err == nil && r.status != http.StatusServiceUnavailable {
			err = fmt.Errorf("got %d", r.status)
		}
		return err
	})
	reached := u.calls.Load()
	for range 20 {
		o.must(t, "payments", http.StatusServiceUnavailable)
	}
	if n := u.calls.Load() - reached; n > 0 {
		t.Errorf("%d requests reached the upstream", n)
	}
}

// between is when something happens: not earlier and not later.
type between struct{ earliest, latest time.Time }

// reopening is when an open breaker admits its first probe, as precisely as /breakers tells.
func (o *operated) reopening(t *testing.T) between {
	t.Helper()
	asked := time.Now()
	h := o.history(t, "payments")
	answered := time.Now()
	left, err := time.ParseDuration(h.RetryAfter)
	if h.State != "open" || err != nil {
		t.Fatalf("it is %s, with retry_after %q (%v)", h.State, h.RetryAfter, err)
	}
	const rounding = time.Millisecond
	return between{asked.Add(left - rounding), answered.Add(left + rounding)}
}

// agrees tells whether both can be about the same instant. A process knows when another one's
// instants were by the wall clock only, which may be set a little meanwhile.
func (b between) agrees(other between) bool {
	const adjustment = 50 * time.Millisecond
	return !b.earliest.After(other.latest.Add(adjustment)) && !other.earliest.After(b.latest.Add(adjustment))
}

// TestRestartKeepsOpen: a breaker that is open is open for the rest of its wait, not for a
// new one, whichever way the control plane ended; and what tripped it is known.
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
			// So that a new wait would end at another time.
			holds(t, "it is open", time.Second, func() error {
				if got := o.breaker(t, "payments").State; got != "open" {
					return fmt.Errorf("it is %s", got)
				}
				return nil
			})
			end(t, o)
			o.startOperated(t)
			after, again := o.history(t, "payments"), o.reopening(t)
			if !again.agrees(reopens) {
				t.Errorf("it probes at %v, was to at %v", again, reopens)
			}
			if before.Trip == nil || after.Trip == nil {
				t.Fatalf("no trip: %+v, then %+v", before, after)
			}
			if b, a := *before.Trip, *after.Trip; a.Reason != "consecutive_failures" || a.Wait != b.Wait || a.Window != b.Window || a.Window.Failures != 3 {
				t.Errorf("it tripped by %+v, was %+v", a, b)
			}
			if d := after.Trip.At.Sub(before.Trip.At).Abs(); d > 50*time.Millisecond {
				t.Errorf("it tripped at %v, was %v", after.Trip.At, before.Trip.At)
			}
			o.lastReason(t, "payments", "restored")
			if got, want := o.history(t, "payments").Last.Sequence, before.Last.Sequence+1; got != want {
				t.Errorf("the first transition is number %d, want %d: they go on without a gap", got, want)
			}
			o.rejected(t, u)
		})
	}
}

// TestRestartGoesOn: what was open probes when the wait is over, which began before the restart.
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
		t.Errorf("it probes after %s, the wait is 3s", waited)
	}
	eventually(t, "two probes close it", func() error {
		if _, err := o.get(t.Context(), "payments", "/"); err != nil {
			return err
		}
		if got := o.breaker(t, "payments").State; got != "closed" {
			return fmt.Errorf("it is %s", got)
		}
		return nil
	})
}

// TestRestartInHalfOpen: what has to prove itself still has to.
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
		t.Fatal("it is closed, and was half-open")
	}
	o.state(t, "payments", "half_open")
	// The successes of before are not known any more; five new ones are needed.
	successes := o.breaker(t, "payments").Counts.Successes
	eventually(t, "probes close it", func() error {
		if _, err := o.get(t.Context(), "payments", "/"); err != nil {
			return err
		}
		if got := o.breaker(t, "payments").State; got != "closed" {
			return fmt.Errorf("it is %s", got)
		}
		return nil
	})
	if got := o.breaker(t, "payments").Counts.Successes - successes; got < 5 {
		t.Errorf("it closed after %d successes, want 5", got)
	}
}

// TestRestartKeepsForced: what a person decided holds until the time that was said, with the
// name and the reason, and reset still ends it.
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
				t.Fatalf("forced %+v, then %+v", before, after)
			}
			if after.State != state || after.By != "alice@ops" || after.Reason != "moving the database" {
				t.Errorf("forced %+v, was %+v", after, before)
			}
			if d := after.Until.Sub(before.Until).Abs(); d > 50*time.Millisecond {
				t.Errorf("until %v, was %v", after.Until, before.Until)
			}
			if state == "open" {
				o.rejected(t, u)
			} else {
				u.behave(answer(http.StatusInternalServerError))
				eventually(t, "many failures are counted", func() error {
					if _, err := o.get(t.Context(), "payments", "/"); err != nil {
						return err
					}
					if n := o.breaker(t, "payments").Counts.Failures; n < 20 {
						return fmt.Errorf("%d", n)
					}
					return nil
				})
				if got := o.breaker(t, "payments").State; got != "closed" {
					t.Errorf("it is %s, and is to be held closed", got)
				}
			}
			o.force(t, "reset", "payments")
			if h := o.history(t, "payments"); h.Forced != nil || h.State != "closed" {
				t.Errorf("after the reset: %+v", h)
			}
		})
	}
}

// TestForceEndsWhileAway: a time that passes while the control plane is down is over when it is back.
func TestForceEndsWhileAway(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	o := prepareOperated(t, ip, service("payments", "127.0.0.1:1")+guard("payments"))
	o.startOperated(t)
	o.force(t, "force", "payments", "open", "--for", "2s")
	forced := o.history(t, "payments").Forced
	if forced == nil {
		t.Fatal("it is not forced; the test shows nothing")
	}
	o.stored(t, "alice@ops")
	o.control.kill()
	eventually(t, "the time is over", func() error {
		if left := time.Until(forced.Until); left >= 0 {
			return fmt.Errorf("%s are left", left)
		}
		return nil
	})
	o.startOperated(t)
	if h := o.history(t, "payments"); h.Forced != nil {
		t.Errorf("it is still forced: %+v", h.Forced)
	}
}

// TestRestartWithAnotherPolicy: state that was of other rules says nothing about these.
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
		t.Errorf("with another policy it is %s, want closed", got)
	}
}

// TestRestartWithoutState is what --state-dir "" asks for.
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
		t.Errorf("it is %s, and its state was not to be kept", got)
	}
}

// TestDamagedState: a file that cannot be read is set aside with one warning, and does not keep
// the control plane from its work.
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
		t.Errorf("it is %s by a file that is damaged", got)
	}
	aside, err := filepath.Glob(file + ".damaged-*")
	if err != nil || len(aside) != 1 {
		t.Fatalf("%v is set aside (%v), want one file", aside, err)
	}
	if kept, err := os.ReadFile(aside[0]); err != nil || string(kept) != damaged {
		t.Errorf("what is set aside is not what was there (%v):\n%s", err, kept)
	}
	var warnings []string
	for line := range strings.Lines(o.control.output()) {
		if strings.Contains(line, "level=WARN") && strings.Contains(line, aside[0]) {
			warnings = append(warnings, line)
		}
	}
	if len(warnings) != 1 {
		t.Errorf("%d warnings that name %s, want one:\n%s", len(warnings), aside[0], o.control.output())
	}
	// It goes on as if there had been no file: the next trip is kept again.
	eventually(t, "a new trip", func() error {
		if _, err := o.get(t.Context(), "payments", "/"); err != nil {
			return err
		}
		if got := o.breaker(t, "payments").State; got != "open" {
			return errors.New("it is " + got)
		}
		return nil
	})
	o.stored(t, `"open"`)
}

// TestStateByDefault: state is kept where nobody asks for it, in the user's directory for such things.
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
		t.Errorf("after a restart: %+v, want it to be forced", h)
	}
}
