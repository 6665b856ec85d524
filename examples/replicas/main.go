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

// The policy of payments has these numbers.
const (
	tripsAfter = 8  // failures in a row, of all proxies together
	permitted  = 3  // probes in flight at once
	successes  = 12 // of probes, which close the breaker
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
	var operators, proxies []string
	for _, r := range m.replicas {
		operators = append(operators, r.http)
	}
	for _, p := range m.proxies {
		proxies = append(proxies, p.Listen)
	}
	fmt.Printf(`
Everything stays up %s. In another terminal:

  bin/breakwater replicas --server %[2]s                  the control planes, and how many breakers each owns
  bin/breakwater breakers list --server %[2]s             the breakers; the column OWNER has who decides
  curl -i -H 'Host: payments' http://%s/              a call through the first Envoy
  curl -X POST http://%s/break                        break payments; /mend mends it
  BREAKWATER_ADMIN_TOKEN=%s bin/breakwater breakers force payments open --server %[2]s --reason 'a try' --for 1m
  curl http://%[2]s/metrics                              for Prometheus

  control planes: %s
  Envoys:         %s
  Valkey:         %s

The policies are in examples/replicas/policies.
`, m.Until(), m.replicas[0].http, m.proxies[0].Listen, m.paymentsAt, token, strings.Join(operators, " "), strings.Join(proxies, " "), m.storeAt)
}
