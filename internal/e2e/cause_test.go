package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// cause is the transition that began an episode, as /breakers shows it.
type cause struct {
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
	Window struct {
		Calls    int `json:"calls"`
		Failures int `json:"failures"`
	} `json:"window"`
}

// cause returns the cause of the episode of payments, which must be in one.
func (o *operated) cause(t *testing.T) cause {
	t.Helper()
	var b struct {
		Cause *cause `json:"cause"`
	}
	if err := json.Unmarshal([]byte(o.page(t, "/breakers/payments")), &b); err != nil {
		t.Fatal(err)
	}
	if b.Cause == nil {
		t.Fatal("/breakers has no cause")
	}
	return *b.Cause
}

// TestCauseOfAnEpisode shows that the cause of an episode is still shown after probes have failed and the control plane was
// killed: on the page, by the command, in the metrics and in the log.
func TestCauseOfAnEpisode(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	o := newOperated(t, ip, service("payments", u.address)+guard("payments",
		"breaker: {consecutiveFailures: 3, waitDurationInOpenState: 1s, backoff: {multiplier: 100, max: 10m}}"))
	u.behave(answer(http.StatusInternalServerError))
	for range 3 {
		o.must(t, "payments", http.StatusInternalServerError)
	}
	o.tripAfter(t, "payments", 0)
	first := o.cause(t)
	if first.Window.Calls != 3 || first.Window.Failures != 3 {
		t.Errorf("the cause is %+v, want three failed calls", first)
	}
	eventually(t, "a probe fails", func() error {
		if r, err := o.get(t.Context(), "payments", "/"); err != nil || r.status != http.StatusInternalServerError {
			return errors.Join(err, fmt.Errorf("got %d", r.status))
		}
		return nil
	})
	o.lastReason(t, "payments", "probe_failed")
	if got := o.cause(t); got != first {
		t.Errorf("after a failed probe the cause is %+v, was %+v", got, first)
	}
	o.stored(t, `"probe_failed"`)
	o.control.kill()
	o.startOperated(t)
	o.lastReason(t, "payments", "restored")
	got := o.cause(t)
	if d := got.At.Sub(first.At).Abs(); got.Reason != first.Reason || got.Window != first.Window || d > 50*time.Millisecond {
		t.Errorf("after a restart the cause is %+v, was %+v", got, first)
	}
	if list := o.breakers(t, "list", "payments"); !strings.Contains(list.stdout, "consecutive_failures (3 calls, 3 failed, 0 slow, 3 failed in a row) at ") {
		t.Errorf("breakers list does not show the cause:\n%s%s", list.stdout, list.stderr)
	}
	const series = `circuit_breaker_episode_start_timestamp_seconds{reason="consecutive_failures",route="",service="payments"}`
	if !strings.Contains(o.page(t, "/metrics"), series) {
		t.Errorf("the metrics have no series %s", series)
	}
	eventually(t, "the log names the cause", func() error {
		if log := o.control.output(); !strings.Contains(log, "reason=restored") || !strings.Contains(log, "cause.reason=consecutive_failures") {
			return fmt.Errorf("the log is\n%s", log)
		}
		return nil
	})
}
