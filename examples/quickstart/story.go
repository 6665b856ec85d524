package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"breakwater.dev/examples/internal/stage"
)

// story breaks payments and mends it, and prints the responses that callers get.
type story struct {
	*stage.Stage
	at              addresses
	payments, stock *stage.Service
	lastState       string
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
	s.Title("Both services work. Their breakers are closed.")
	for range 2 {
		s.call(ctx, "payments")
		s.call(ctx, "stock")
	}
	return s.expect(ctx, "closed")
}

func (s *story) breaks(ctx context.Context) error {
	s.Title("payments breaks. Envoy reports the failures in its access log, and five in a row trip the breaker.")
	s.payments.Become(true, 0)
	for range 5 {
		s.call(ctx, "payments")
	}
	return s.wait(ctx, "open")
}

func (s *story) rejects(ctx context.Context) error {
	s.Title("Open: Envoy itself answers with the fallback, at once. payments is left alone; stock is untouched.")
	reached := s.payments.Calls()
	for range 3 {
		s.call(ctx, "payments")
	}
	s.call(ctx, "stock")
	const more = 200
	began := time.Now()
	for range more {
		stage.Get(ctx, "http://"+s.at.egress+"/", "payments")
	}
	s.Say("%d more calls were rejected in %s. Of all of them, %d reached payments.",
		more, time.Since(began).Round(time.Millisecond), s.payments.Calls()-reached)
	return s.expect(ctx, "open")
}

func (s *story) probeFails(ctx context.Context) error {
	s.Title("After 3 s the breaker is half-open: it lets a probe through. payments is still broken.")
	if err := s.wait(ctx, "half_open"); err != nil {
		return err
	}
	s.call(ctx, "payments")
	s.call(ctx, "payments")
	return s.expect(ctx, "open")
}

func (s *story) recovers(ctx context.Context) error {
	s.Title("payments is mended. After another 3 s, three probes succeed and close the breaker.")
	s.payments.Become(false, 0)
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
func (s *story) whatToTry() {
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
`, s.Until(), s.at.egress, s.at.payments, s.at.http, s.at.http, s.at.http, s.at.http, s.at.admin)
}

// call sends one request through Envoy and prints the response.
func (s *story) call(ctx context.Context, host string) {
	r := stage.Get(ctx, "http://"+s.at.egress+"/", host)
	hint := ""
	if r.RetryAfter != "" {
		hint = "  (retry-after: " + r.RetryAfter + ")"
	}
	s.Say("GET %-8s -> %d in %-6s %s%s", host, r.Status, r.Took.Round(100*time.Microsecond), r.Body, hint)
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
		if err := json.Unmarshal([]byte(stage.Get(ctx, "http://"+s.at.http+"/breakers/payments", "").Body), &st); err != nil {
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
		s.Say("==> the breaker of payments is %s%s", st.State, reason)
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
	metrics := stage.Get(ctx, "http://"+s.at.http+"/metrics", "").Body
	gate := fmt.Sprintf("breakwater_gates{kind=%q} 1\n", gateKinds[state])
	return strings.Contains(metrics, gate) && strings.Contains(metrics, "breakwater_gate_rollouts_waiting 0\n")
}

// wait waits until the breaker is in a state and Envoy acts on it.
func (s *story) wait(ctx context.Context, want string) error {
	return s.Await(ctx, "the breaker of payments is "+want+" and Envoy acts on it", func() error {
		if got := s.changed(ctx); got != want {
			return fmt.Errorf("the breaker of payments is %s", got)
		}
		if !s.applied(ctx, want) {
			return errors.New("no gate of Envoy says so")
		}
		return nil
	})
}
