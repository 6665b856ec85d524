// Command quickstart shows a breaker at work: a control plane, a real Envoy, two
// services, and callers. One service breaks and recovers; the other is untouched.
//
// In: policies/, bin/breakwater and an Envoy; DEMO_SECONDS, to end by itself; DEMO_IP, for another loopback address.
// Out: the story as it happens, on standard output; then addresses to try until Ctrl-C.
// Called by: make demo.
// Never: leaves a process behind.
// Concurrency: one demonstration for each address, since the ports are fixed.
package main

import (
	"context"
	"fmt"

	"breakwater.dev/examples/internal/stage"
	"breakwater.dev/internal/processes"
)

// addresses are the addresses of all parts.
type addresses struct{ xds, http, egress, admin, payments, stock string }

func addressesOn(ip string) addresses {
	return addresses{
		xds: ip + ":18000", http: ip + ":18080", egress: ip + ":10000", admin: ip + ":9901",
		payments: ip + ":18101", stock: ip + ":18102",
	}
}

func main() { stage.Main("quickstart", run) }

func run(ctx context.Context, on *stage.Stage) (err error) {
	s := &story{Stage: on, at: addressesOn(on.IP)}
	if err := s.at.free(); err != nil {
		return err
	}
	if s.payments, err = s.Service("payments", s.at.payments); err != nil {
		return err
	}
	if s.stock, err = s.Service("stock", s.at.stock); err != nil {
		return err
	}
	if err := s.start(ctx); err != nil {
		return err
	}
	if err := s.tell(ctx); err != nil {
		return err
	}
	s.whatToTry()
	return s.Idle(ctx)
}

func (at addresses) free() error {
	return stage.Free(
		stage.Port{Address: at.xds, What: "the control plane, for proxies"},
		stage.Port{Address: at.http, What: "the control plane, for operators"},
		stage.Port{Address: at.egress, What: "Envoy, for applications"},
		stage.Port{Address: at.admin, What: "Envoy's admin page"},
		stage.Port{Address: at.payments, What: "the payments service"},
		stage.Port{Address: at.stock, What: "the stock service"},
	)
}

// start starts the control plane, then Envoy, and returns when both are ready.
func (s *story) start(ctx context.Context) error {
	policies, err := s.Policies("examples/quickstart/policies")
	if err != nil {
		return err
	}
	fmt.Println("Starting the control plane:  breakwater serve --policy examples/quickstart/policies")
	control, err := s.Launch(processes.Command{Name: "control plane", Path: stage.Breakwater, Args: []string{"serve", "--policy", policies,
		"--xds-listen", s.at.xds, "--http-listen", s.at.http, "--state-dir", ""}})
	if err != nil {
		return err
	}
	if err := control.Answers(ctx, "http://"+s.at.http+"/health/ready"); err != nil {
		return err
	}
	fmt.Println("Starting Envoy:              envoy -c <what breakwater bootstrap prints>")
	p := &stage.Proxy{ID: "quickstart-1", Workload: "quickstart", ControlPlane: s.at.xds, Listen: s.at.egress, Admin: s.at.admin}
	if err := s.LaunchProxy(ctx, p); err != nil {
		return err
	}
	return p.Ready(ctx)
}
