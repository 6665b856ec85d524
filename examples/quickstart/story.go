package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// story breaks payments and mends it, and prints the responses that callers get.
type story struct {
	at              addresses
	payments, stock *service
	began           time.Time
	lastState       string
}

// reply is the response that a caller got. Without a response, the status is 0 and the body is the error.
type reply struct {
	status     int
	body       string
	retryAfter string
	took       time.Duration
}

func get(ctx context.Context, url, host string) reply {
	began := time.Now()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return reply{body: err.Error()}
	}
	req.Host = host
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return reply{body: err.Error()}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return reply{body: err.Error()}
	}
	return reply{
		status: resp.StatusCode, body: strings.TrimSpace(string(body)),
		retryAfter: resp.Header.Get("retry-after"), took: time.Since(began),
	}
}

func (s *story) tell(ctx context.Context) error {
	for _, act := range []func(context.Context) error{s.healthy, s.breaks, s.rejects, s.probeFails, s.recovers} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *story) healthy(ctx context.Context) error {
	s.title("Both services work. Their breakers are closed.")
	for range 2 {
		s.call(ctx, "payments")
		s.call(ctx, "stock")
	}
	return s.expect(ctx, "closed")
}

func (s *story) breaks(ctx context.Context) error {
	s.title("payments breaks. Envoy reports the failures in its access log, and five in a row trip the breaker.")
	s.payments.broken.Store(true)
	for range 5 {
		s.call(ctx, "payments")
	}
	return s.wait(ctx, "open")
}

func (s *story) rejects(ctx context.Context) error {
	s.title("Open: Envoy itself answers with the fallback, at once. payments is left alone; stock is untouched.")
	reached := s.payments.calls.Load()
	for range 3 {
		s.call(ctx, "payments")
	}
	s.call(ctx, "stock")
	const more = 200
	began := time.Now()
	for range more {
		get(ctx, "http://"+s.at.egress+"/", "payments")
	}
	s.say("%d more calls were rejected in %s. Of all of them, %d reached payments.",
		more, time.Since(began).Round(time.Millisecond), s.payments.calls.Load()-reached)
	return s.expect(ctx, "open")
}

func (s *story) probeFails(ctx context.Context) error {
	s.title("After 3 s the breaker is half-open: it lets a probe through. payments is still broken.")
	if err := s.wait(ctx, "half_open"); err != nil {
		return err
	}
	s.call(ctx, "payments")
	s.call(ctx, "payments")
	return s.expect(ctx, "open")
}

func (s *story) recovers(ctx context.Context) error {
	s.title("payments is mended. After another 3 s, three probes succeed and close the breaker.")
	s.payments.broken.Store(false)
	if err := s.wait(ctx, "half_open"); err != nil {
		return err
	}
	for range 3 {
		s.call(ctx, "payments")
		s.changed(ctx)
	}
	s.call(ctx, "payments")
	s.call(ctx, "stock")
	return s.expect(ctx, "closed")
}

// whatToTry prints commands for the reader to try.
func (s *story) whatToTry(limit time.Duration) {
	until := "until Ctrl-C"
	if limit > 0 {
		until = "for " + limit.String()
	}
	fmt.Printf(`
Everything stays up %s. In another terminal:

  curl -i -H 'Host: payments' http://%s/     a call through Envoy
  curl -X POST http://%s/break               break payments; /mend mends it
  curl http://%s/breakers                    every breaker, and why it last changed
  curl http://%s/metrics                     for Prometheus
  curl http://%s/health/services             healthy, degraded, unhealthy
  curl http://%s/config                      the policy in force, and the proxies
  curl http://%s/clusters                     Envoy's own admin page

The policies are in examples/quickstart/policies; change one and watch /config.
`, until, s.at.egress, s.at.payments, s.at.http, s.at.http, s.at.http, s.at.http, s.at.admin)
}

// idle waits until ctx ends or the limit is over. It returns an error if a process ends before.
func (s *story) idle(ctx context.Context, ps running, limit time.Duration) error {
	var timeout <-chan time.Time
	if limit > 0 {
		timeout = time.After(limit)
	}
	select {
	case <-ctx.Done():
	case <-timeout:
	case <-ps[0].Exited():
		return ps[0].Died()
	case <-ps[1].Exited():
		return ps[1].Died()
	}
	fmt.Println("\nStopping.")
	return nil
}

// call sends one request through Envoy and prints the response.
func (s *story) call(ctx context.Context, host string) {
	r := get(ctx, "http://"+s.at.egress+"/", host)
	hint := ""
	if r.retryAfter != "" {
		hint = "  (retry-after: " + r.retryAfter + ")"
	}
	s.say("GET %-8s -> %d in %-6s %s%s", host, r.status, r.took.Round(100*time.Microsecond), r.body, hint)
}

func (s *story) title(text string) { fmt.Printf("\n%s\n", text) }

func (s *story) say(format string, args ...any) {
	fmt.Printf("  %5.1fs  %s\n", time.Since(s.began).Seconds(), fmt.Sprintf(format, args...))
}

// status is the part of /breakers that the story reads.
type status struct {
	State      string `json:"state"`
	Generation int    `json:"generation"`
	Last       *struct {
		Reason string `json:"reason"`
	} `json:"last_transition"`
}

// changed returns the state of payments' breaker, and prints it if it differs from the last one.
func (s *story) changed(ctx context.Context) string {
	var st status
	for {
		st = status{}
		if err := json.Unmarshal([]byte(get(ctx, "http://"+s.at.http+"/breakers/payments", "").body), &st); err != nil {
			return "unknown: " + err.Error()
		}
		// A state is there shortly before its transition, which has the reason.
		if st.State == s.lastState || st.Last != nil || st.Generation <= 1 || ctx.Err() != nil {
			break
		}
		<-time.After(5 * time.Millisecond)
	}
	if st.State != s.lastState {
		reason := ""
		if st.Last != nil {
			reason = ", because of " + st.Last.Reason
		}
		s.say("==> the breaker of payments is %s%s", st.State, reason)
		s.lastState = st.State
	}
	return st.State
}

// expect returns an error if the breaker is not in a state: the demonstration would not
// match its titles.
func (s *story) expect(ctx context.Context, want string) error {
	if got := s.changed(ctx); got != want && ctx.Err() == nil {
		return fmt.Errorf("the breaker of payments is %s; it should be %s", got, want)
	}
	return ctx.Err()
}

// gateKinds are the kinds of gates that Envoy has while a breaker is in a state, as the metrics name them.
var gateKinds = map[string]string{"open": "open", "half_open": "probing"}

// applied reports whether Envoy applies the gate for a state. That is some milliseconds after the breaker is in the state.
func (s *story) applied(ctx context.Context, state string) bool {
	metrics := get(ctx, "http://"+s.at.http+"/metrics", "").body
	gate := fmt.Sprintf("breakwater_gates{kind=%q} 1\n", gateKinds[state])
	return strings.Contains(metrics, gate) && strings.Contains(metrics, "breakwater_gate_rollouts_waiting 0\n")
}

// wait waits until the breaker is in a state and Envoy acts on it, for at most 15 s.
func (s *story) wait(ctx context.Context, want string) error {
	deadline := time.After(15 * time.Second)
	for s.changed(ctx) != want || !s.applied(ctx, want) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline:
			if err := s.expect(ctx, want); err != nil {
				return err
			}
			return fmt.Errorf("the breaker of payments is %s, but Envoy does not act on it", want)
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}
