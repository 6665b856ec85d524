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
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"breakwater.dev/internal/processes"
)

// defaultIP is the address in policies/ and README.md.
const defaultIP = "127.0.0.1"

// addresses are the addresses of all parts.
type addresses struct{ ip, xds, http, egress, admin, payments, stock string }

func addressesOn(ip string) addresses {
	return addresses{
		ip: ip, xds: ip + ":18000", http: ip + ":18080", egress: ip + ":10000", admin: ip + ":9901",
		payments: ip + ":18101", stock: ip + ":18102",
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	limit, err := processes.DemoSeconds()
	if err != nil {
		return err
	}
	at := addressesOn(cmp.Or(os.Getenv("DEMO_IP"), defaultIP))
	if err := at.free(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "breakwater-quickstart")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	payments, err := newService("payments", at.payments)
	if err != nil {
		return err
	}
	defer payments.close()
	stock, err := newService("stock", at.stock)
	if err != nil {
		return err
	}
	defer stock.close()
	all, err := startAll(ctx, dir, at)
	defer func() { err = errors.Join(err, all.stop()) }()
	if err != nil {
		return err
	}
	s := &story{at: at, payments: payments, stock: stock, began: time.Now()}
	if err := s.tell(ctx); err != nil {
		return err
	}
	s.whatToTry(limit)
	return s.idle(ctx, all, limit)
}

// free returns an error that names every port that another program uses.
func (at addresses) free() error {
	var taken []error
	for _, p := range []struct{ address, what string }{
		{at.xds, "the control plane, for proxies"},
		{at.http, "the control plane, for operators"},
		{at.egress, "Envoy, for applications"},
		{at.admin, "Envoy's admin page"},
		{at.payments, "the payments service"},
		{at.stock, "the stock service"},
	} {
		l, err := net.Listen("tcp", p.address)
		if err != nil {
			taken = append(taken, fmt.Errorf("%s, which is to be %s, cannot be had: %w", p.address, p.what, err))
			continue
		}
		l.Close()
	}
	if taken != nil {
		taken = append(taken, errors.New("stop the program that uses the port (is another demo running?) and try again"))
	}
	return errors.Join(taken...)
}
