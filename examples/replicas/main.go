// Command replicas shows three control planes that share their breakers: with a real Valkey, four real Envoys, and a service that
// breaks. One control plane is killed in the middle of half-open, and the store is cut off.
//
// In: policies/, bin/breakwater, an Envoy and a Valkey; DEMO_SECONDS, to end by itself; DEMO_IP, for another loopback address.
// Out: the story as it happens, on standard output, or an error if a step of it does not happen; then addresses to try until Ctrl-C.
// Called by: make demo-replicas.
// Never: leaves a process behind.
// Concurrency: one demonstration for each address, since the ports are fixed.
package main

import (
	"context"
	"fmt"
	"strings"

	"breakwater.dev/examples/internal/stage"
)

// These numbers are in policies/payments.yaml.
const (
	tripsAfter = 8  // failures in a row, of all proxies together
	permitted  = 3  // probes in flight at once
	successes  = 20 // successful probes that close the breaker
)

func main() { stage.Main("replicas", run) }

func run(ctx context.Context, on *stage.Stage) error {
	m, err := newMesh(on)
	if err != nil {
		return err
	}
	if err := m.start(ctx); err != nil {
		return err
	}
	s := &story{mesh: m}
	for _, act := range []func(context.Context) error{s.works, s.trips, s.losesOwner, s.losesStore, s.recovers} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	m.whatToTry()
	return m.Idle(ctx)
}

// whatToTry prints commands for the reader to try.
func (m *mesh) whatToTry() {
	first := m.replicas[0].http
	fmt.Printf("\nEverything stays up %s. In another terminal:\n\n", m.Until())
	for _, try := range []struct{ command, shows string }{
		{"bin/breakwater replicas --server " + first, "the control planes, and how many breakers each owns"},
		{"bin/breakwater breakers list --server " + first, "the breakers; the column OWNER has who decides"},
		{"curl -i -H 'Host: payments' http://" + m.proxies[0].Listen + "/", "a call through the first Envoy"},
		{"curl -X POST http://" + m.paymentsAt + "/break", "break payments; /mend mends it"},
		{"curl http://" + first + "/metrics", "for Prometheus"},
	} {
		fmt.Printf("  %-64s %s\n", try.command, try.shows)
	}
	fmt.Printf("\n  BREAKWATER_ADMIN_TOKEN=%s bin/breakwater breakers force payments open --server %s --reason 'a try' --for 1m\n", token, first)
	var operators, proxies []string
	for _, r := range m.replicas {
		operators = append(operators, r.http)
	}
	for _, p := range m.proxies {
		proxies = append(proxies, p.Listen)
	}
	fmt.Printf("\nThe control planes are at %s, the Envoys at %s.\nThe policies are in examples/replicas/policies.\n",
		strings.Join(operators, ", "), strings.Join(proxies, ", "))
}
