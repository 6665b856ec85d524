package e2e

import (
	"fmt"
	"net/http"
	"syscall"
	"testing"
	"time"
)

const (
	// gateTTL is how long gates stand without a word from the control plane in these tests.
	gateTTL = 2 * time.Second
	// longOpen opens at the first failure and does not end by itself.
	longOpen = "breaker: {consecutiveFailures: 1, failureRateThreshold: 0%, waitDurationInOpenState: 1h}"
)

// newGated is a mesh of an open breaker whose gates fall away soon.
func newGated(t *testing.T, policy string) (*operated, *upstream) {
	t.Helper()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	o := prepareOperated(t, ip, service("payments", u.address)+adaptive("payments", policy))
	o.startGated(t)
	o.startEnvoy(t)
	u.behave(answer(http.StatusInternalServerError))
	o.must(t, "payments", http.StatusInternalServerError)
	o.shut(t, "payments")
	u.behave(answer(http.StatusOK))
	return o, u
}

func (o *operated) startGated(t *testing.T) {
	t.Helper()
	o.startControl(t, "--admin-token-file", o.tokenFile, "--state-dir", o.stateDir, "--gate-ttl", gateTTL.String())
}

// standing checks that the gate stands for longer than it would without heartbeats.
func (o *operated) standing(t *testing.T) {
	t.Helper()
	holds(t, "the proxy rejects", 2*gateTTL, func() error {
		r, err := o.get(t.Context(), "payments", "/")
		if err == nil && r.status != http.StatusServiceUnavailable {
			err = fmt.Errorf("got %d", r.status)
		}
		return err
	})
}

// falls waits until the gate is gone, which must not take much longer than its TTL, and
// until then nothing but the fallback is answered.
func (o *operated) falls(t *testing.T) {
	t.Helper()
	began := time.Now()
	o.through(t, "payments")
	if took := time.Since(began); took > gateTTL+patience/2 {
		t.Errorf("calls got through after %s, the TTL is %s", took, gateTTL)
	}
	for range 50 {
		o.must(t, "payments", http.StatusOK)
	}
}

// TestGatesFallWhenTheControlPlaneIsKilled, and come back with it: it knows what was open.
func TestGatesFallWhenTheControlPlaneIsKilled(t *testing.T) {
	t.Parallel()
	o, _ := newGated(t, longOpen)
	o.standing(t)
	o.stored(t, `"open"`)
	o.control.kill()
	o.falls(t)
	o.startGated(t)
	o.shut(t, "payments")
	o.standing(t)
}

// TestGatesFallWhenTheControlPlaneHangs: its connections stay, and nobody answers.
func TestGatesFallWhenTheControlPlaneHangs(t *testing.T) {
	t.Parallel()
	o, _ := newGated(t, longOpen)
	o.control.signal(t, syscall.SIGSTOP)
	o.falls(t)
	o.control.signal(t, syscall.SIGCONT)
	o.shut(t, "payments")
	o.standing(t)
	if got := o.breaker(t, "payments").State; got != "open" {
		t.Errorf("it is %s, want open", got)
	}
}

// TestHalfOpenIsTakenUpByTheNextControlPlane: one that is restarted while a breaker is
// half-open goes on probing.
func TestHalfOpenIsTakenUpByTheNextControlPlane(t *testing.T) {
	t.Parallel()
	o, u := newGated(t, "breaker: {consecutiveFailures: 1, failureRateThreshold: 0%, waitDurationInOpenState: 1s, "+
		"successThreshold: 5, maxWaitDurationInHalfOpenState: 1h}")
	o.state(t, "payments", "half_open")
	o.stored(t, `"half_open"`)
	o.control.kill()
	o.startGated(t)
	o.state(t, "payments", "half_open")
	reached := u.calls.Load()
	eventually(t, "probes close it", func() error {
		if _, err := o.get(t.Context(), "payments", "/"); err != nil {
			return err
		}
		if got := o.breaker(t, "payments").State; got != "closed" {
			return fmt.Errorf("it is %s", got)
		}
		return nil
	})
	if got := u.calls.Load() - reached; got < 5 {
		t.Errorf("%d calls reached the upstream, want 5 or more", got)
	}
	o.through(t, "payments")
}

// TestNoRequestFailsForTheControlPlane kills, hangs and restarts it under load; its gates
// hold samples then, and it is told of every call.
func TestNoRequestFailsForTheControlPlane(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	o := prepareOperated(t, ip, service("payments", u.address)+adaptive("payments"))
	o.startGated(t)
	o.startEnvoy(t)
	l := o.load(t, 8)
	l.more(t, 3_000)
	o.control.kill()
	l.more(t, 1_000)
	o.startGated(t)
	l.more(t, 1_000)
	o.control.signal(t, syscall.SIGSTOP)
	l.more(t, 1_000)
	holds(t, "calls go on while it hangs", 2*gateTTL, func() error { return nil })
	l.more(t, 1_000)
	o.control.signal(t, syscall.SIGCONT)
	o.ready(t, o.control, "http://"+o.ip+":18080/health/ready")
	l.more(t, 1_000)
	l.clean(t)
	eventually(t, "calls are counted again", func() error {
		if n := o.breaker(t, "payments").Counts.Successes; n < 1_000 {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
	if got := o.breaker(t, "payments").Counts; got.Failures != 0 {
		t.Errorf("counts %+v, want no failure", got)
	}
}
