package e2e

import (
	"fmt"
	"net/http"
	"syscall"
	"testing"
	"time"
)

const (
	// gateTTL is how long gates stay in force in these tests without contact to the control plane.
	gateTTL = 2 * time.Second
	// longOpen is a breaker that opens at the first failure, and stays open during the test.
	longOpen = "breaker: {consecutiveFailures: 1, failureRateThreshold: 0%, waitDurationInOpenState: 1h}"
)

// newGated starts a mesh with an open breaker, whose gates have a short time to live.
func newGated(t *testing.T, policy string) (*operated, *upstream) {
	t.Helper()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	o := prepareOperated(t, ip, service("payments", u.address)+adaptive("payments", policy))
	o.startGated(t)
	o.startEnvoy(t)
	u.behave(answer(http.StatusInternalServerError))
	o.must(t, "payments", http.StatusInternalServerError)
	o.rejects(t, "payments")
	u.behave(answer(http.StatusOK))
	return o, u
}

// startGated starts a control plane whose gates have a short time to live.
func (o *operated) startGated(t *testing.T) {
	t.Helper()
	o.startControl(t, "--admin-token-file", o.tokenFile, "--state-dir", o.stateDir, "--gate-ttl", gateTTL.String())
}

// keepsGate checks that the gate stays in force for longer than it would without heartbeats.
func (o *operated) keepsGate(t *testing.T) {
	t.Helper()
	holds(t, "the proxy rejects", 2*gateTTL, func() error {
		r, err := o.get(t.Context(), "payments", "/")
		if err == nil && r.status != http.StatusServiceUnavailable {
			err = fmt.Errorf("got %d", r.status)
		}
		return err
	})
}

// losesGate waits until the gate has expired, which must not take much longer than its TTL. Until then callers get only
// the fallback.
func (o *operated) losesGate(t *testing.T) {
	t.Helper()
	began := time.Now()
	o.passes(t, "payments")
	if took := time.Since(began); took > gateTTL+patience/2 {
		t.Errorf("calls pass after %s, and the TTL is %s", took, gateTTL)
	}
	for range 50 {
		o.must(t, "payments", http.StatusOK)
	}
}

// TestGatesExpireWhenTheControlPlaneIsKilled shows that gates expire when the control plane is killed. The next control
// plane knows that the breaker was open, and sends the gate again.
func TestGatesExpireWhenTheControlPlaneIsKilled(t *testing.T) {
	t.Parallel()
	o, _ := newGated(t, longOpen)
	o.keepsGate(t)
	o.stored(t, `"open"`)
	o.control.kill()
	o.losesGate(t)
	o.startGated(t)
	o.rejects(t, "payments")
	o.keepsGate(t)
}

// TestGatesExpireWhenTheControlPlaneHangs shows the same for a control plane that keeps its connections and does not
// answer.
func TestGatesExpireWhenTheControlPlaneHangs(t *testing.T) {
	t.Parallel()
	o, _ := newGated(t, longOpen)
	o.control.signal(t, syscall.SIGSTOP)
	o.losesGate(t)
	o.control.signal(t, syscall.SIGCONT)
	o.rejects(t, "payments")
	o.keepsGate(t)
	if got := o.breaker(t, "payments").State; got != "open" {
		t.Errorf("the breaker is %s, want open", got)
	}
}

// TestHalfOpenOverARestart shows that a control plane that is killed and started again while a breaker is half-open goes
// on with its probes.
func TestHalfOpenOverARestart(t *testing.T) {
	t.Parallel()
	o, u := newGated(t, "breaker: {consecutiveFailures: 1, failureRateThreshold: 0%, waitDurationInOpenState: 1s, "+
		"successThreshold: 5, maxWaitDurationInHalfOpenState: 1h}")
	o.state(t, "payments", "half_open")
	o.stored(t, `"half_open"`)
	o.control.kill()
	o.startGated(t)
	o.state(t, "payments", "half_open")
	reached := u.calls.Load()
	eventually(t, "probes close the breaker", func() error {
		if _, err := o.get(t.Context(), "payments", "/"); err != nil {
			return err
		}
		if got := o.breaker(t, "payments").State; got != "closed" {
			return fmt.Errorf("the breaker is %s", got)
		}
		return nil
	})
	if got := u.calls.Load() - reached; got < 5 {
		t.Errorf("%d calls reached the upstream, want 5 or more", got)
	}
	o.passes(t, "payments")
}

// TestNoRequestFailsWithoutTheControlPlane shows that no request fails while the control plane is killed, restarted and
// stopped for a while. The restarted control plane learns of new calls.
func TestNoRequestFailsWithoutTheControlPlane(t *testing.T) {
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
	holds(t, "calls go on while the control plane hangs", 2*gateTTL, func() error { return nil })
	l.more(t, 1_000)
	o.control.signal(t, syscall.SIGCONT)
	o.ready(t, o.control, "http://"+o.ip+":18080/health/ready")
	l.more(t, 1_000)
	l.clean(t)
	eventually(t, "calls are counted again", func() error {
		if n := o.breaker(t, "payments").Counts.Successes; n < 1_000 {
			return fmt.Errorf("%d successes", n)
		}
		return nil
	})
	if got := o.breaker(t, "payments").Counts; got.Failures != 0 {
		t.Errorf("the counts are %+v, want no failure", got)
	}
}
